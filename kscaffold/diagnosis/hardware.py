"""Functions of the kernel by which an init looks for hardware, and finds none where there is none."""

# By what each is told: the words for a sentence.
LOOKS_FOR = {
    "__platform_create_bundle": "a platform device",
    "__platform_driver_probe": "a platform device",
    "acpi_dev_get_first_match_dev": "an ACPI device",
    "acpi_dev_present": "an ACPI device",
    "acpi_evaluate_integer": "an ACPI device",
    "acpi_get_devices": "an ACPI device",
    "acpi_get_handle": "an ACPI device",
    "amd_nb_num": "an AMD northbridge",
    "bus_find_device": "a device on a bus",
    "dmi_check_system": "a machine of that maker (DMI)",
    "dmi_find_device": "a machine of that maker (DMI)",
    "dmi_first_match": "a machine of that maker (DMI)",
    "dmi_get_system_info": "a machine of that maker (DMI)",
    "dmi_match": "a machine of that maker (DMI)",
    "dmi_name_in_vendors": "a machine of that maker (DMI)",
    "ec_read": "an embedded controller",
    "i2c_get_adapter": "an I2C adapter",
    "of_find_compatible_node": "a node of the device tree",
    "of_find_matching_node_and_match": "a node of the device tree",
    "parport_find_number": "a parallel port",
    "pci_get_class": "a PCI device",
    "pci_get_device": "a PCI device",
    "pci_get_domain_bus_and_slot": "a PCI device",
    "pci_get_subsys": "a PCI device",
    "spi_busnum_to_master": "an SPI controller",
    "usb_find_interface": "a USB device",
    "wmi_has_guid": "a WMI block",
    "x86_match_cpu": "a processor of that kind",
}


def looked_for(imports: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Function and what it looks for, of those that a module imports."""
    return tuple((name, LOOKS_FOR[name]) for name in sorted(imports & LOOKS_FOR.keys()))
