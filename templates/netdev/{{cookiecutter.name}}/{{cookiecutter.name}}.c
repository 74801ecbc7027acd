// SPDX-License-Identifier: {{ cookiecutter.spdx }}

/* Every line that pr_info() and its kin print begins with the module's name. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/etherdevice.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/printk.h>
#include <linux/skbuff.h>

/* Two ends of a cable: what is sent at one is received at the other. */
static struct net_device *ends[2];

/* What the kernel keeps for us behind each struct net_device. */
struct end {
	struct net_device *other;
};

/*
 * Called with the queue's lock held, in a context that can't sleep. The packet
 * is ours from here on: pass it on or free it. NETDEV_TX_BUSY would mean that we
 * took nothing and the kernel is to try again.
 */
static netdev_tx_t pair_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct end *end = netdev_priv(dev);
	unsigned int length = skb->len; /* ask now: soon it isn't ours */

	/* Takes the packet in any case; drops it where the other end is down. */
	if (dev_forward_skb(end->other, skb) == NET_RX_SUCCESS) {
		/*
		 * One queue and its lock: nobody else counts our tx, nor the
		 * other end's rx. A device with more queues counts per CPU.
		 */
		dev->stats.tx_packets++;
		dev->stats.tx_bytes += length;
		end->other->stats.rx_packets++;
		end->other->stats.rx_bytes += length;
	} else {
		dev->stats.tx_dropped++;
	}

	return NETDEV_TX_OK;
}

/* `ip link set pair0 up`. The cable works when both ends are up. */
static int pair_open(struct net_device *dev)
{
	struct end *end = netdev_priv(dev);

	if (netif_running(end->other)) {
		netif_carrier_on(dev);
		netif_carrier_on(end->other);
	}
	netif_start_queue(dev);

	return 0;
}

static int pair_stop(struct net_device *dev)
{
	struct end *end = netdev_priv(dev);

	netif_stop_queue(dev);
	netif_carrier_off(dev);
	netif_carrier_off(end->other);

	return 0;
}

static const struct net_device_ops pair_ops = {
	.ndo_open = pair_open,
	.ndo_stop = pair_stop,
	.ndo_start_xmit = pair_xmit,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
};

static void pair_setup(struct net_device *dev)
{
	ether_setup(dev);
	eth_hw_addr_random(dev);
	dev->netdev_ops = &pair_ops;
}

static int __init {{ cookiecutter.ident }}_init(void)
{
	struct end *end;
	int err = -ENOMEM;
	int i;

	for (i = 0; i < 2; i++) {
		/* %d: the first number that is free. */
		ends[i] = alloc_netdev(sizeof(struct end), "pair%d",
				       NET_NAME_ENUM, pair_setup);
		if (!ends[i])
			goto free;
	}
	for (i = 0; i < 2; i++) {
		end = netdev_priv(ends[i]);
		end->other = ends[1 - i];
		netif_carrier_off(ends[i]);
	}

	/* From here on the device can be used: all has to be ready. */
	err = register_netdev(ends[0]);
	if (err)
		goto free;
	err = register_netdev(ends[1]);
	if (err)
		goto unregister;
	pr_info("%s and %s are a pair\n", ends[0]->name, ends[1]->name);

	return 0;

unregister:
	unregister_netdev(ends[0]);
free:
	/* As many as were made: free_netdev() does not take NULL. */
	while (i--)
		free_netdev(ends[i]);

	return err;
}

/*
 * Unregistering takes a device down and waits for everybody who uses it. Neither
 * is freed before both are gone, as each may send to the other until then.
 */
static void __exit {{ cookiecutter.ident }}_exit(void)
{
	unregister_netdev(ends[0]);
	unregister_netdev(ends[1]);
	free_netdev(ends[0]);
	free_netdev(ends[1]);
	pr_info("goodbye from exit\n");
}

module_init({{ cookiecutter.ident }}_init);
module_exit({{ cookiecutter.ident }}_exit);

MODULE_DESCRIPTION("{{ cookiecutter.description | c_string }}");
MODULE_AUTHOR("{{ cookiecutter.author | c_string }}");
MODULE_LICENSE("{{ cookiecutter.license }}");
