// Unsafe by design: writes the 32 bytes that its caller vouches for.

import Crypto

/// The key of a column's hashes, made ready once: what depends on it alone is not computed for each value.
final class PseudonymKey: Sendable {
    static let codeBytes = SHA256.byteCount

    private let prepared: HMAC<SHA256>

    init(_ key: String) { prepared = HMAC(key: SymmetricKey(data: Array(key.utf8))) }

    /// Writes HMAC-SHA256 (RFC 2104) of a text, `codeBytes` long.
    func writeCode(of text: UnsafeRawBufferPointer, to output: UnsafeMutablePointer<UInt8>) {
        var hash = prepared
        hash.update(data: text)
        hash.finalize().withUnsafeBytes { code in
            UnsafeMutableRawPointer(output).copyMemory(from: code.baseAddress!, byteCount: Self.codeBytes)
        }
    }
}
