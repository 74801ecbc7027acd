// SPDX-License-Identifier: {{ cookiecutter.spdx }}

#include <linux/device.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/usb.h>

/*
 * Linux's own test device, "Gadget Zero": what is sent to it comes back. A Linux
 * board can be one, and dummy_hcd plays one without any hardware.
 */
#define LOOP_VENDOR 0x0525
#define LOOP_PRODUCT 0xa4a0

#define LONGEST 64
#define TIMEOUT 1000 /* milliseconds for one transfer */

struct loop {
	struct usb_device *device;
	unsigned int in, out; /* pipes: a direction and an endpoint's number */
	struct mutex lock; /* one message at a time */
	int size;
	/* Of its own: the controller reads and writes it by DMA. */
	u8 *buffer;
};

/* `echo hello > message`: sends it. Both transfers sleep until they are done. */
static ssize_t message_store(struct device *dev, struct device_attribute *attr,
			     const char *text, size_t size)
{
	struct loop *loop = dev_get_drvdata(dev);
	int sent, got = 0;
	int err;

	if (!size || size > LONGEST)
		return -EINVAL;

	mutex_lock(&loop->lock);
	memcpy(loop->buffer, text, size);
	err = usb_bulk_msg(loop->device, loop->out, loop->buffer, size, &sent,
			   TIMEOUT);
	if (!err)
		err = usb_bulk_msg(loop->device, loop->in, loop->buffer,
				   LONGEST, &got, TIMEOUT);
	loop->size = got;
	mutex_unlock(&loop->lock);

	return err ? err : size;
}

/* What came back of it. */
static ssize_t message_show(struct device *dev, struct device_attribute *attr,
			    char *page)
{
	struct loop *loop = dev_get_drvdata(dev);
	ssize_t size;

	mutex_lock(&loop->lock);
	size = sysfs_emit(page, "%.*s", loop->size, loop->buffer);
	mutex_unlock(&loop->lock);

	return size;
}

static DEVICE_ATTR_RW(message);

static struct attribute *loop_attrs[] = {
	&dev_attr_message.attr,
	NULL,
};
ATTRIBUTE_GROUPS(loop);

/*
 * Called for each interface of a device of the table below. What is got with
 * devm_ is given back when the device is pulled out, or when probe fails.
 */
static int loop_probe(struct usb_interface *interface,
		      const struct usb_device_id *id)
{
	struct usb_device *device = interface_to_usbdev(interface);
	struct usb_endpoint_descriptor *in, *out;
	struct loop *loop;
	int err;

	/* Trust no descriptor: anybody can build a device. */
	err = usb_find_common_endpoints(interface->cur_altsetting, &in, &out,
					NULL, NULL);
	if (err)
		return err;
	loop = devm_kzalloc(&interface->dev, sizeof(*loop), GFP_KERNEL);
	if (!loop)
		return -ENOMEM;
	loop->buffer = devm_kzalloc(&interface->dev, LONGEST, GFP_KERNEL);
	if (!loop->buffer)
		return -ENOMEM;

	mutex_init(&loop->lock);
	loop->device = device;
	loop->in = usb_rcvbulkpipe(device, usb_endpoint_num(in));
	loop->out = usb_sndbulkpipe(device, usb_endpoint_num(out));
	usb_set_intfdata(interface, loop);
	dev_info(&interface->dev, "a loop\n");

	return 0;
}

/* Its files are gone already, and nobody is inside their functions. */
static void loop_disconnect(struct usb_interface *interface)
{
	dev_info(&interface->dev, "gone\n");
}

/* modprobe and udev find the module by this table when such a device appears. */
static const struct usb_device_id loop_ids[] = {
	{ USB_DEVICE(LOOP_VENDOR, LOOP_PRODUCT) },
	{},
};
MODULE_DEVICE_TABLE(usb, loop_ids);

static struct usb_driver loop_driver = {
	.name = KBUILD_MODNAME,
	.probe = loop_probe,
	.disconnect = loop_disconnect,
	.id_table = loop_ids,
	.dev_groups = loop_groups,
};

/* Makes an init that registers the driver, and an exit that undoes it. */
module_usb_driver(loop_driver);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
