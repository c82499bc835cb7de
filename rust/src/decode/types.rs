//! Link types: which there are, and which are read as what.

use super::link::Layer;

/// `LINKTYPE_…` numbers (tcpdump.org/linktypes.html) and what they are read as.
const LINKS: &[(u16, Layer)] = &[
    (0, Layer::Null),
    (1, Layer::Ethernet),
    (6, Layer::TokenRing),
    (9, Layer::Ppp),
    (10, Layer::Fddi),
    (12, Layer::Ip),
    (14, Layer::Ip),
    (50, Layer::Hdlc),
    (51, Layer::Type(0x8864)),
    (100, Layer::Llc),
    (101, Layer::Ip),
    (104, Layer::Hdlc),
    (105, Layer::Wifi),
    (107, Layer::FrameRelay),
    (108, Layer::Null),
    (109, Layer::Enc),
    (113, Layer::Sll),
    (117, Layer::Pflog),
    (119, Layer::Prism),
    (122, Layer::FibreChannelIp),
    (127, Layer::Radiotap),
    (138, Layer::Ieee1394),
    (163, Layer::Avs),
    (166, Layer::Ppp),
    (192, Layer::Ppi),
    (204, Layer::PppDirection),
    (219, Layer::Mpls),
    (228, Layer::Ip),
    (229, Layer::Ip),
    (239, Layer::Nflog),
    (274, Layer::Mpacket),
    (276, Layer::Sll2),
];

pub const ETHERNET: u16 = 1;

#[inline]
pub fn layer(link: u16) -> Option<Layer> {
    if link == ETHERNET {
        return Some(Layer::Ethernet);
    }
    LINKS.iter().find(|row| row.0 == link).map(|row| row.1)
}

/// Is this link type read?
#[must_use]
pub fn known(link: u16) -> bool {
    layer(link).is_some()
}

/// Link types that carry no IP, by name.
const OTHERS: &[(u16, &str)] = &[
    (3, "AX25"),
    (7, "ARCNET"),
    (8, "SLIP"),
    (129, "ARCNET_LINUX"),
    (141, "MTP2"),
    (143, "DOCSIS"),
    (147, "USER0"),
    (177, "LINUX_LAPD"),
    (187, "BLUETOOTH_HCI_H4"),
    (189, "USB_LINUX"),
    (195, "IEEE802_15_4_WITHFCS"),
    (201, "BLUETOOTH_HCI_H4_WITH_PHDR"),
    (220, "USB_LINUX_MMAPPED"),
    (224, "FC_2"),
    (226, "IPNET"),
    (227, "CAN_SOCKETCAN"),
    (230, "IEEE802_15_4_NOFCS"),
    (249, "USBPCAP"),
    (251, "BLUETOOTH_LE_LL"),
    (253, "NETLINK"),
];

/// What to say of a link type that is not read.
#[must_use]
pub fn unknown(link: u16) -> String {
    let name = OTHERS.iter().find(|row| row.0 == link).map_or_else(String::new, |row| format!(" ({})", row.1));
    format!("link type {link}{name} is not read")
}
