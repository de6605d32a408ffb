// Unsafe by design: reads byte by byte under the cursor's invariant; a newline is part of no address.

import ClickHouseNative

extension LineCursor {
    /// An IPv4 address in quotes, as a number (ClickHouse's Common/formatIPv6.h, parseIPv4): octets of up to four digits.
    mutating func ipv4() throws(ParseFault) -> UInt32 {
        guard take(UInt8(ascii: "\"")) else { throw ParseFault(.notAnAddress) }
        let address = try octets(4)
        guard take(UInt8(ascii: "\"")) else { throw ParseFault(.notAnAddress) }
        return address
    }

    /// Octets with points between them.
    private mutating func octets(_ count: Int) throws(ParseFault) -> UInt32 {
        var address: UInt32 = 0
        for number in 0..<count {
            if number > 0 { guard take(UInt8(ascii: ".")) else { throw ParseFault(.notAnAddress) } }
            var octet: UInt32 = 0
            var digits = 0
            while digits < 4, p.pointee &- 0x30 <= 9 {
                octet = octet * 10 + UInt32(p.pointee &- 0x30)
                digits += 1
                p += 1
            }
            guard digits > 0, octet <= 255 else { throw ParseFault(.notAnAddress) }
            address = address << 8 | octet
        }
        return address
    }

    /// An IPv6 address in quotes, or an IPv4 one, which becomes `::ffff:a.b.c.d` (ClickHouse's Common/formatIPv6.h,
    /// parseIPv6orIPv4). Two words, each as it lies in memory.
    mutating func ipv6() throws(ParseFault) -> (UInt64, UInt64) {
        guard take(UInt8(ascii: "\"")) else { throw ParseFault(.notAnAddress) }
        let start = p
        var groups = AddressGroups()
        while p.pointee &- 0x30 <= 9 { p += 1 }
        let isIPv4 = p.pointee == UInt8(ascii: ".")
        // A leading zero is none in this place, and three digits are enough.
        let isPlain = p - start <= 3 && (start.pointee != 0x30 || p - start == 1)
        p = start
        if isIPv4 {
            guard isPlain else { throw ParseFault(.notAnAddress) }
            groups.gap = 0
            groups.append(0xFFFF)
            groups.append(ipv4: try octets(4))
        } else {
            try readGroups(&groups)
        }
        guard take(UInt8(ascii: "\"")), let words = groups.words else { throw ParseFault(.notAnAddress) }
        return words
    }

    private mutating func readGroups(_ groups: inout AddressGroups) throws(ParseFault) {
        var mayBegin = true
        while groups.count < 8 {
            if take(UInt8(ascii: ":")) {
                mayBegin = true
                if take(UInt8(ascii: ":")) {
                    guard groups.gap < 0 else { throw ParseFault(.notAnAddress) }
                    groups.gap = groups.count
                    continue
                }
                guard groups.count > 0 else { throw ParseFault(.notAnAddress) }
            }
            if p.pointee == UInt8(ascii: ".") {
                // The group before was no group, but the first octet of an IPv4 address, which ends this one.
                guard !mayBegin, groups.count > 1 || groups.gap >= 0, let first = groups.takeOctet() else {
                    throw ParseFault(.notAnAddress)
                }
                p += 1
                groups.append(ipv4: first << 24 | (try octets(3)))
                return
            }
            guard mayBegin else { return }
            mayBegin = false
            var group: UInt16 = 0
            var digits = 0
            while digits < 4, let digit = hexValue(p.pointee) {
                group = group << 4 | UInt16(digit)
                digits += 1
                p += 1
            }
            guard digits > 0 else { return }
            groups.append(group)
        }
    }
}

/// The groups of an IPv6 address while it is read, in two words; the first is the highest.
private struct AddressGroups {
    private var bits: UInt128 = 0
    private(set) var count = 0
    /// How many groups come before the zeros that are left out; -1: none are.
    var gap = -1

    mutating func append(_ group: UInt16) {
        bits = bits << 16 | UInt128(group)
        count += 1
    }

    mutating func append(ipv4 address: UInt32) {
        append(UInt16(truncatingIfNeeded: address >> 16))
        append(UInt16(truncatingIfNeeded: address))
    }

    /// The last group, its hexadecimal digits taken as decimal ones; nil where they make no octet.
    mutating func takeOctet() -> UInt32? {
        let group = UInt16(truncatingIfNeeded: bits)
        bits >>= 16
        count -= 1
        let digits = [group >> 12, group >> 8 & 15, group >> 4 & 15, group & 15]
        guard digits.allSatisfy({ $0 <= 9 }) else { return nil }
        let octet = digits.reduce(UInt32(0)) { $0 * 10 + UInt32($1) }
        return octet <= 255 ? octet : nil
    }

    /// The whole address as it lies in memory; nil when groups are missing.
    var words: (UInt64, UInt64)? {
        guard count == 8 || gap >= 0 else { return nil }
        var whole = bits
        if gap >= 0, count < 8 {
            let behind = UInt128(16 * (count - gap))
            let tail = behind == 0 ? 0 : bits & (~0 >> (128 - behind))
            let head = gap == 0 ? 0 : (bits >> behind) << UInt128(128 - 16 * gap)
            whole = head | tail
        }
        return (UInt64(truncatingIfNeeded: whole >> 64).bigEndian, UInt64(truncatingIfNeeded: whole).bigEndian)
    }
}
