// SPDX-License-Identifier: {{ cookiecutter.spdx }}

#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/device.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/sysfs.h>
#include <linux/version.h>

/* Its own field since 5.14. */
#if KERNEL_VERSION(5, 14, 0) > LINUX_VERSION_CODE
#define dev_groups driver.dev_groups
#endif

/*
 * QEMU's device for teaching: `-device edu`, see docs/specs/edu.rst in QEMU. It
 * computes factorials and raises an interrupt when it is done.
 */
#define EDU_VENDOR 0x1234
#define EDU_DEVICE 0x11e8

/* Its registers, by their distance from the beginning of the first region. */
#define EDU_ID 0x00
#define EDU_FACTORIAL 0x08
#define EDU_STATUS 0x20
#define EDU_STATUS_INTERRUPT BIT(7) /* raise one when it is done */
#define EDU_INTERRUPT 0x24 /* which ones are raised */
#define EDU_ACKNOWLEDGE 0x64

struct edu {
	void __iomem *registers;
	struct completion done;
	struct mutex lock; /* one computation at a time */
	u32 result;
};

/* Runs when the device calls; it must not sleep. */
static irqreturn_t edu_interrupt(int number, void *data)
{
	struct edu *edu = data;
	u32 raised = readl(edu->registers + EDU_INTERRUPT);

	/* The line may be shared: was it our device? */
	if (!raised)
		return IRQ_NONE;
	writel(raised, edu->registers + EDU_ACKNOWLEDGE);
	complete(&edu->done);

	return IRQ_HANDLED;
}

static ssize_t factorial_store(struct device *dev,
			       struct device_attribute *attr, const char *text,
			       size_t size)
{
	struct edu *edu = dev_get_drvdata(dev);
	u32 number;
	int err;

	err = kstrtou32(text, 0, &number);
	if (err)
		return err;
	if (number > 12) /* 13! has more than 32 bits */
		return -ERANGE;

	mutex_lock(&edu->lock);
	reinit_completion(&edu->done);
	writel(number, edu->registers + EDU_FACTORIAL);
	/* A device can be broken: no wait without an end. */
	if (wait_for_completion_timeout(&edu->done, msecs_to_jiffies(5000)))
		edu->result = readl(edu->registers + EDU_FACTORIAL);
	else
		err = -ETIMEDOUT;
	mutex_unlock(&edu->lock);

	return err ? err : size;
}

static ssize_t factorial_show(struct device *dev, struct device_attribute *attr,
			      char *page)
{
	struct edu *edu = dev_get_drvdata(dev);
	u32 result;

	mutex_lock(&edu->lock);
	result = edu->result;
	mutex_unlock(&edu->lock);

	return sysfs_emit(page, "%u\n", result);
}

static DEVICE_ATTR_RW(factorial);

static struct attribute *edu_attrs[] = {
	&dev_attr_factorial.attr,
	NULL,
};
ATTRIBUTE_GROUPS(edu);

/*
 * Called for each device of the table below. What is got with devm_ and pcim_
 * is given back when the device goes or when probe fails, in reverse order.
 */
static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu *edu;
	int err;

	edu = devm_kzalloc(&pdev->dev, sizeof(*edu), GFP_KERNEL);
	if (!edu)
		return -ENOMEM;
	mutex_init(&edu->lock);
	init_completion(&edu->done);

	err = pcim_enable_device(pdev);
	if (err)
		return err;
	err = pcim_iomap_regions(pdev, BIT(0), KBUILD_MODNAME);
	if (err)
		return err;
	edu->registers = pcim_iomap_table(pdev)[0];
	/* Message-signalled interrupts are writes of the device's to memory. */
	pci_set_master(pdev);
	err = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_ALL_TYPES);
	if (err < 0)
		return err;
	err = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, 0),
			       edu_interrupt, IRQF_SHARED, KBUILD_MODNAME, edu);
	if (err)
		return err;
	writel(EDU_STATUS_INTERRUPT, edu->registers + EDU_STATUS);
	pci_set_drvdata(pdev, edu);
	pci_info(pdev, "version %#x\n", readl(edu->registers + EDU_ID));

	return 0;
}

/* modprobe and udev find the module by this table when such a device appears. */
static const struct pci_device_id edu_table[] = {
	{ PCI_DEVICE(EDU_VENDOR, EDU_DEVICE) },
	{},
};
MODULE_DEVICE_TABLE(pci, edu_table);

static struct pci_driver edu_driver = {
	.name = KBUILD_MODNAME,
	.id_table = edu_table,
	.probe = edu_probe,
	.dev_groups = edu_groups,
};

/* Makes an init that registers the driver, and an exit that undoes it. */
module_pci_driver(edu_driver);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
