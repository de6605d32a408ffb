/// Values as ClickHouse writes them into JSON with its default settings, 26.9 (IO/WriteHelpers.h, Formats/FormatSettings.h).
extension [UInt8] {
    @inline(__always)
    mutating func append(text: StaticString) {
        append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    // MARK: - Strings

    mutating func append(_ bytes: UnsafeRawBufferPointer, as style: ValueStyle) {
        switch style {
        case .json: append(quoted: bytes)
        case .text: append(contentsOf: bytes)
        case .sql: append(contentsOf: DataType.quoted(String(decoding: bytes, as: UTF8.self)).utf8)
        }
    }

    /// In quotes. Slashes are escaped, control characters too (except DEL), and the line and paragraph separators of
    /// Unicode; bytes that are no UTF-8 pass as they are.
    mutating func append(quoted bytes: UnsafeRawBufferPointer) {
        append(UInt8(ascii: "\""))
        var plain = 0
        var place = 0
        while place < bytes.count {
            let byte = bytes[place]
            guard byte < 0x20 || byte == 0x22 || byte == 0x2F || byte == 0x5C || byte == 0xE2 else {
                place &+= 1
                continue
            }
            var length = 1
            if byte == 0xE2 {
                let isSeparator =
                    place &+ 2 < bytes.count && bytes[place &+ 1] == 0x80
                    && (bytes[place &+ 2] == 0xA8 || bytes[place &+ 2] == 0xA9)
                guard isSeparator else {
                    place &+= 1
                    continue
                }
                length = 3
            }
            append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[plain..<place]))
            if length == 3 {
                append(text: "\\u202")
                append(bytes[place &+ 2] == 0xA8 ? UInt8(ascii: "8") : UInt8(ascii: "9"))
            } else {
                append(escaped: byte)
            }
            place &+= length
            plain = place
        }
        append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[plain..<bytes.count]))
        append(UInt8(ascii: "\""))
    }

    private mutating func append(escaped byte: UInt8) {
        append(UInt8(ascii: "\\"))
        switch byte {
        case 0x08: append(UInt8(ascii: "b"))
        case 0x09: append(UInt8(ascii: "t"))
        case 0x0A: append(UInt8(ascii: "n"))
        case 0x0C: append(UInt8(ascii: "f"))
        case 0x0D: append(UInt8(ascii: "r"))
        case 0x22, 0x2F, 0x5C: append(byte)
        default:
            append(text: "u00")
            append(hex: byte, letters: UInt8(ascii: "A"))
        }
    }

    @inline(__always)
    private mutating func append(hex byte: UInt8, letters: UInt8) {
        for digit in [byte >> 4, byte & 15] { append(digit < 10 ? 0x30 &+ digit : letters &+ digit &- 10) }
    }

    // MARK: - Numbers

    mutating func append(decimal value: Int64) {
        if value < 0 { append(UInt8(ascii: "-")) }
        append(decimal: value.magnitude)
    }

    mutating func append(decimal value: UInt64, digitsMin: Int = 1) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var rest = value
            var place = 20
            while rest > 0 || 20 &- place < digitsMin {
                place &-= 1
                digits.initializeElement(at: place, to: 0x30 &+ UInt8(truncatingIfNeeded: rest % 10))
                rest /= 10
            }
            append(contentsOf: digits[place...])
        }
    }

    /// A Decimal: zeros at the end of the fraction are left out.
    mutating func append(decimal unscaled: Int128, scale: Int) {
        if unscaled < 0 { append(UInt8(ascii: "-")) }
        append(digits: WideInteger(low: unscaled.magnitude), scale: scale)
    }

    mutating func append(decimal unscaled: WideInteger, scale: Int) {
        if unscaled.isNegative { append(UInt8(ascii: "-")) }
        append(digits: unscaled.magnitude, scale: scale)
    }

    /// A number without a sign.
    mutating func append(digits unscaled: WideInteger, scale: Int) {
        var digits: [UInt8] = []
        var rest = unscaled
        while !rest.isZero || digits.count <= scale {
            digits.append(0x30 &+ UInt8(truncatingIfNeeded: rest.divide(by: 10)))
        }
        // The last digit is first.
        let trailing = digits.prefix(scale).prefix { $0 == 0x30 }.count
        append(contentsOf: digits[scale...].reversed())
        guard trailing < scale else { return }
        append(UInt8(ascii: "."))
        append(contentsOf: digits[trailing..<scale].reversed())
    }

    /// The shortest digits that read back as the same number; written out from 10^-6 to below 10^21, and with an exponent
    /// elsewhere. What is not finite is null in JSON.
    mutating func append<T: BinaryFloatingPoint & CustomStringConvertible>(
        float value: T, as style: ValueStyle = .json
    ) {
        guard value.isFinite else {
            guard style != .json else { return append(text: "null") }
            return value.isNaN ? append(text: "nan") : value < 0 ? append(text: "-inf") : append(text: "inf")
        }
        if value.sign == .minus { append(UInt8(ascii: "-")) }
        // Swift's description has the same digits, but another way with exponents.
        var digits: [UInt8] = []
        var pointAt = 0
        var exponent = 0
        var hasPoint = false
        var text = value.magnitude.description
        text.withUTF8 { text in
            for (place, byte) in text.enumerated() {
                switch byte {
                case UInt8(ascii: "."): hasPoint = true
                case UInt8(ascii: "e"):
                    exponent = Int(String(decoding: text[(place + 1)...], as: UTF8.self)) ?? 0
                    return
                default:
                    if !hasPoint { pointAt += 1 }
                    digits.append(byte)
                }
            }
        }
        // As 0.digits times 10^exponent, without zeros at either end.
        exponent += pointAt
        let leading = digits.prefix { $0 == 0x30 }.count
        digits.removeFirst(leading)
        exponent -= leading
        while digits.last == 0x30 { digits.removeLast() }
        guard !digits.isEmpty else { return append(UInt8(ascii: "0")) }
        append(digits: digits, exponent: exponent)
    }

    private mutating func append(digits: [UInt8], exponent: Int) {
        switch exponent {
        case -5...0:
            append(text: "0.")
            append(contentsOf: repeatElement(0x30, count: -exponent))
            append(contentsOf: digits)
        case 1...21:
            append(contentsOf: digits.prefix(exponent))
            if digits.count > exponent {
                append(UInt8(ascii: "."))
                append(contentsOf: digits[exponent...])
            } else {
                append(contentsOf: repeatElement(0x30, count: exponent - digits.count))
            }
        default:
            append(digits[0])
            if digits.count > 1 {
                append(UInt8(ascii: "."))
                append(contentsOf: digits[1...])
            }
            append(UInt8(ascii: "e"))
            append(decimal: Int64(exponent - 1))
        }
    }

    // MARK: - Dates and UUIDs

    /// `2024-02-29`; days outside the years 0 to 9999 are clamped into them.
    mutating func append(day: Int32) {
        let date = civilFromDays(Swift.min(Swift.max(day, TimeZoneRules.dayMin), TimeZoneRules.dayMax))
        append(decimal: UInt64(date.year), digitsMin: 4)
        append(UInt8(ascii: "-"))
        append(decimal: UInt64(date.month), digitsMin: 2)
        append(UInt8(ascii: "-"))
        append(decimal: UInt64(date.day), digitsMin: 2)
    }

    /// `2024-02-29 12:34:56`.
    mutating func append(instant: Int64, in zone: TimeZoneRules) {
        let (day, second) = zone.civil(epochSeconds: instant)
        append(day: day)
        append(UInt8(ascii: " "))
        append(decimal: UInt64(second / 3600), digitsMin: 2)
        append(UInt8(ascii: ":"))
        append(decimal: UInt64(second / 60 % 60), digitsMin: 2)
        append(UInt8(ascii: ":"))
        append(decimal: UInt64(second % 60), digitsMin: 2)
    }

    /// Ticks of 10^-precision s, with that many digits behind the point.
    mutating func append(ticks: Int64, precision: Int, in zone: TimeZoneRules) {
        let scale = (0..<precision).reduce(Int64(1)) { power, _ in power * 10 }
        var seconds = ticks / scale
        if seconds * scale > ticks { seconds -= 1 }
        append(instant: seconds, in: zone)
        guard precision > 0 else { return }
        append(UInt8(ascii: "."))
        append(decimal: UInt64(ticks &- seconds &* scale), digitsMin: precision)
    }

    /// Two halves of 64 bits, each little-endian (ClickHouse's Core/UUID.h).
    mutating func append(uuid bytes: UnsafeRawBufferPointer) {
        for place in 0..<16 {
            if place == 4 || place == 6 || place == 8 || place == 10 { append(UInt8(ascii: "-")) }
            append(hex: bytes[place ^ 7], letters: UInt8(ascii: "a"))
        }
    }

    /// `-12:34:56.789`: ticks of 10^-precision s, held within 999:59:59 (ClickHouse's IO/WriteHelpers.h, writeTimeText).
    mutating func append(clock ticks: Int64, precision: Int) {
        let scale = (0..<precision).reduce(UInt64(1)) { power, _ in power * 10 }
        if ticks < 0 { append(UInt8(ascii: "-")) }
        let (seconds, fraction) = Swift.min(ticks.magnitude, 3_600_000 * scale - 1).quotientAndRemainder(
            dividingBy: scale)
        append(decimal: seconds / 3600, digitsMin: 2)
        append(UInt8(ascii: ":"))
        append(decimal: seconds / 60 % 60, digitsMin: 2)
        append(UInt8(ascii: ":"))
        append(decimal: seconds % 60, digitsMin: 2)
        guard precision > 0 else { return }
        append(UInt8(ascii: "."))
        append(decimal: fraction, digitsMin: precision)
    }

    // MARK: - Addresses

    /// `192.0.2.1`.
    mutating func append(ipv4 address: UInt32) {
        for shift in [24, 16, 8, 0] as [UInt32] {
            if shift < 24 { append(UInt8(ascii: ".")) }
            append(decimal: UInt64(address >> shift & 0xFF))
        }
    }

    /// `2001:db8::1`: the longest run of at least two zero groups is `::`, and what is an IPv4 address at heart ends as
    /// one (ClickHouse's Common/formatIPv6.cpp).
    mutating func append(ipv6 bytes: UnsafeRawBufferPointer) {
        let groups = (0..<8).map { UInt16(bytes[$0 * 2]) << 8 | UInt16(bytes[$0 * 2 + 1]) }
        var longest = 0..<0
        var start = 0
        while start < 8 {
            let end = groups[start...].firstIndex { $0 != 0 } ?? 8
            if end - start >= 2, end - start > longest.count { longest = start..<end }
            start = Swift.max(end, start) + 1
        }
        let isMapped = longest == 0..<6 || (longest == 0..<5 && groups[5] == 0xFFFF)
        for place in 0..<8 {
            if longest.contains(place) {
                if place == longest.lowerBound { append(UInt8(ascii: ":")) }
                continue
            }
            if place > 0 { append(UInt8(ascii: ":")) }
            if isMapped, place == 6 { return append(ipv4: UInt32(groups[6]) << 16 | UInt32(groups[7])) }
            append(contentsOf: String(groups[place], radix: 16).utf8)
        }
        if longest.upperBound == 8, !longest.isEmpty { append(UInt8(ascii: ":")) }
    }
}
