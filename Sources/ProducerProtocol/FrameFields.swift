import NIOCore

/// The `key=value` lines that HELLO, WELCOME, NACK and ERROR carry.
public struct FrameFields: Sendable {
    /// What is wrong with them, in words for the one who sent them.
    public struct Fault: Error, Hashable, Sendable {
        public let message: String
    }

    /// In their order.
    public private(set) var fields: [(key: String, value: String)] = []

    public subscript(key: String) -> String? { fields.first { $0.key == key }?.value }

    /// - Throws: `Fault` for what is not UTF-8, not `key=value`, or there twice.
    public init(_ payload: ByteBuffer) throws(Fault) {
        guard let text = String(validating: payload.readableBytesView, as: UTF8.self) else {
            throw Fault(message: "fields are not UTF-8")
        }
        for line in text.utf8.split(separator: 10) {
            guard let line = Substring(line).nonEmpty else { continue }
            guard let equals = line.firstIndex(of: "=") else {
                throw Fault(message: "a field is not key=value")
            }
            let key = String(line[..<equals])
            guard self[key] == nil else { throw Fault(message: "key \(key.quotedForAnswer) twice") }
            fields.append((key, String(line[line.index(after: equals)...])))
        }
    }
}

extension Substring {
    fileprivate var nonEmpty: Substring? { isEmpty ? nil : self }
}

extension StringProtocol {
    /// Quoted for an answer of one line; cut, and without control characters.
    public var quotedForAnswer: String {
        let scalars = unicodeScalars.prefix(64).map { $0.value < 0x20 || $0.value == 0x7F ? "?" : $0 }
        return "\"" + String(String.UnicodeScalarView(scalars)) + "\""
    }
}
