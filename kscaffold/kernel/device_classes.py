"""The classes of devices that a kernel may be built without: which header belongs to which option."""

from pathlib import Path

from kscaffold.arch import table
from kscaffold.arch.architecture import Architecture
from kscaffold.kernel import config, store
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.kernel.choose import of_machine
from kscaffold.kernel.kernel import Kernel

# From the headers' own `#if IS_ENABLED(CONFIG_X)` and the Kconfig files of the directories that export what
# they declare. The longest beginning of a header's name decides.
OPTION_OF = {
    "drm/": "DRM",
    "linux/backlight.h": "BACKLIGHT_CLASS_DEVICE",
    "linux/can": "CAN",
    "linux/gpio": "GPIOLIB",
    "linux/hid": "HID",
    "linux/hwmon": "HWMON",
    "linux/i2c": "I2C",
    "linux/iio/": "IIO",
    "linux/input": "INPUT",
    "linux/leds.h": "LEDS_CLASS",
    "linux/mmc/": "MMC",
    "linux/mtd/": "MTD",
    "linux/of_gpio.h": "GPIOLIB",
    "linux/platform_profile.h": "ACPI_PLATFORM_PROFILE",
    "linux/power_supply.h": "POWER_SUPPLY",
    "linux/pwm.h": "PWM",
    "linux/regmap.h": "REGMAP",
    "linux/rfkill.h": "RFKILL",
    "linux/spi/": "SPI",
    "linux/uio": "UIO",
    "linux/usb": "USB",
    "linux/usb/gadget.h": "USB_GADGET",
    "linux/usb/serial.h": "USB_SERIAL",
    "linux/usb/typec": "TYPEC",
    "linux/usb/usbnet.h": "USB_USBNET",
    "linux/w1.h": "W1",
    "linux/wmi.h": "ACPI_WMI",
    "media/": "MEDIA_SUPPORT",
    "media/v4l2": "VIDEO_DEV",
    "media/videobuf2": "VIDEOBUF2_CORE",
    "net/bluetooth/": "BT",
    "net/cfg80211.h": "CFG80211",
    "net/mac80211.h": "MAC80211",
    "sound/": "SND",
}


def kernel_with(option: str, machine: Architecture | None = None) -> Kernel | None:
    """The first kernel here that is built with an option, CONFIG_SPI; of `machine`, None: this machine's."""
    found = (k for k in of_machine(store.known(), machine) if k.build and k.image)
    name = option.removeprefix("CONFIG_")
    return next((k for k in found if k.build and config.read_config(k.build).value(name)), None)


def where_to_find(option: str | None, tree: BuildTree) -> str:
    """The advice for a user who needs what the tree's kernel lacks. `option`: None where it is not known."""
    machine = next((a for a in table.every() if a.kbuild == tree.kbuild), None)
    there = kernel_with(option, machine) if option else None
    if there is not None:
        return f"build for a kernel that has it: --kernel {there.release}"
    if "cloud" not in tree.release:
        return "build for a kernel that is configured with it"
    series = ".".join(tree.version[:2])
    flavour = tree.release.rpartition("cloud-")[2]
    words = f"{series} --flavour {flavour}"
    if machine is not None and machine is not table.host():
        words = f"{series} --arch {machine.debian} --flavour {flavour}"
    return f"build for the full kernel of that release: kscaffold kernel add {words}"


def lacking_option(header: str, build: Path) -> str | None:
    """The option, CONFIG_SPI, that the devices of a header (`linux/spi/spi.h`) belong to and that the kernel
    of the build tree was built without; None where it has it, or where no class is known for the header."""
    name = max((n for n in OPTION_OF if header.startswith(n)), key=len, default=None)
    if name is None:
        return None
    found = config.read_config(build)
    option = OPTION_OF[name]
    return f"CONFIG_{option}" if found.known and found.value(option) not in ("y", "m") else None
