"""The classes of devices that a kernel may be built without: which header belongs to which option."""

from pathlib import Path

from kscaffold.kernel import config

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


def lacking_option(header: str, build: Path) -> str | None:
    """The option, CONFIG_SPI, that the devices of a header (`linux/spi/spi.h`) belong to and that the kernel
    of the build tree was built without; None where it has it, or where no class is known for the header."""
    name = max((n for n in OPTION_OF if header.startswith(n)), key=len, default=None)
    if name is None:
        return None
    found = config.read_config(build)
    option = OPTION_OF[name]
    return f"CONFIG_{option}" if found.known and found.value(option) not in ("y", "m") else None
