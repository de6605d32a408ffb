// Unsafe by design: writes within the 16 bytes of an address that its caller vouches for.

import ClickHouseNative

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Addresses of which the last bits are not kept.
enum AddressBits {
    static func mask(_ prefix: Int) -> UInt32 { prefix == 0 ? 0 : ~0 << UInt32(32 - prefix) }

    /// - Parameter bytes: 16, the first one first. An IPv4 address among them has its own prefix.
    static func truncate(_ bytes: UnsafeMutablePointer<UInt8>, _ ipv4Prefix: Int, _ ipv6Prefix: Int) {
        let isIPv4 = (0..<10).allSatisfy { bytes[$0] == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        let prefix = isIPv4 ? 96 + ipv4Prefix : ipv6Prefix
        for place in 0..<16 {
            let kept = min(8, max(0, prefix - 8 * place))
            bytes[place] &= UInt8(truncatingIfNeeded: 0xFF00 >> kept)
        }
    }

    /// The address in quotes at the cursor, truncated, as text.
    static func append(
        _ cursor: inout LineCursor, _ ipv4Prefix: Int, _ ipv6Prefix: Int, _ output: inout ByteRun
    ) throws(ParseFault) {
        output.truncate(to: 0)
        var ahead = cursor
        if let address = try? ahead.ipv4() {
            let kept = address & mask(ipv4Prefix)
            for place in 0..<4 {
                if place > 0 { output.append(UInt8(ascii: ".")) }
                appendDecimal(UInt8(truncatingIfNeeded: kept >> UInt32(24 - 8 * place)), &output)
            }
            return
        }
        let words = try cursor.ipv6()
        var bytes = (words.0, words.1)
        withUnsafeMutableBytes(of: &bytes) { raw in
            let base = raw.baseAddress!.assumingMemoryBound(to: UInt8.self)
            truncate(base, ipv4Prefix, ipv6Prefix)
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { text in
                guard let start = text.baseAddress, inet_ntop(AF_INET6, base, start, socklen_t(text.count)) != nil
                else {
                    return
                }
                output.append(UnsafeRawPointer(start), count: strlen(start))
            }
        }
    }

    private static func appendDecimal(_ value: UInt8, _ output: inout ByteRun) {
        if value >= 100 { output.append(0x30 + value / 100) }
        if value >= 10 { output.append(0x30 + value / 10 % 10) }
        output.append(0x30 + value % 10)
    }
}
