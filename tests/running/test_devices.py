import pytest

from hage_transfer.errors import ConfigError
from hage_transfer.running.devices import available_devices, resolve_device


def test_resolve_device_auto_is_on_this_machine():
    assert resolve_device("auto") == available_devices()[0]


def test_resolve_device_refuses_nonsense():
    with pytest.raises(ConfigError, match="device=tpu"):
        resolve_device("tpu")
