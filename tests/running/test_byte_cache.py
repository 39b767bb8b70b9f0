from hage_transfer.running.byte_cache import ByteCache


def test_cache_never_holds_more_than_its_bytes():
    cache = ByteCache[bytes](1000, len)
    for number in range(50):
        cache.put(number, bytes(90))
        assert cache.n_bytes <= 1000
    assert cache.get(0) is None
    assert cache.get(49) == bytes(90)
    cache.put(49, bytes(10))
    assert cache.get(49) == bytes(10)


def test_a_value_over_the_limit_is_kept_alone():
    cache = ByteCache[bytes](1000, len)
    cache.put("small", bytes(10))
    cache.put("large", bytes(5000))
    assert cache.get("small") is None
    assert cache.get("large") == bytes(5000)
    cache.put("small", bytes(10))
    assert cache.get("large") is None


def test_what_was_used_last_stays():
    cache = ByteCache[bytes](100, len)
    cache.put("a", bytes(50))
    cache.put("b", bytes(50))
    cache.get("a")
    cache.put("c", bytes(50))
    assert cache.get("b") is None
    assert cache.get("a") is not None
