import hashlib
import re

from hage_transfer.viewer.page_files import INDEX, LIBRARY, read_page_files

SHA256 = {
    "vendor/openseadragon.min.js": "14d587cd3ee7c4861f1a41077ce642029364a21029956ba635bd8fb1202cf9ad",
    "vendor/LICENSE.txt": "17da96b26ac706d2cbd06d4555dedb43026782f4943faf0156fe7acf89454228",
}


def test_library_and_its_licence_are_the_published_ones():
    files = read_page_files()
    assert {name: hashlib.sha256(files[name].content).hexdigest() for name in SHA256} == SHA256
    assert b"openseadragon 6." in files[LIBRARY].content[:100]
    assert b"Redistribution and use" in files["vendor/LICENSE.txt"].content


def test_page_names_no_other_place():
    for name, file in read_page_files().items():
        if not name.startswith("vendor/"):
            text = file.content.decode()
            outside = [
                url for url in re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"']*", text) if "w3.org" not in url
            ]
            assert not outside, name


def test_modules_are_named_at_the_start_so_that_none_waits_for_another():
    files = read_page_files()
    named = set(re.findall(r'(?:href|src)="/assets/(\w+\.js)"', files[INDEX].content.decode()))
    assert named == {name for name in files if re.fullmatch(r"\w+\.js", name)}
