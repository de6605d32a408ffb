import NIOCore
import Pipeline
import ProducerProtocol

/// The greeting of a session of lines, its first line: `#sluice table=mstore ack=durable`.
enum ControlLine {
    static let prefix = Array("#sluice ".utf8)
    /// Longest control line, in bytes, without its newline.
    static let bytesMax = 1024

    struct Failure: Error, Hashable, Sendable {
        let error: SessionError
        /// The producer reads lines of JSON.
        let wantsAcks: Bool
    }

    /// - Parameter line: Begins with `prefix`; without its newline.
    static func parse(_ line: ByteBuffer) -> Result<Greeting, Failure> {
        guard let text = String(validating: line.readableBytesView, as: UTF8.self) else {
            return .failure(Failure(error: SessionError(.badHello, "the control line is not UTF-8"), wantsAcks: false))
        }
        let words = text.dropFirst(prefix.count).split(whereSeparator: { $0 == " " || $0 == "\t" || $0.isNewline })
        do {
            return .success(try greeting(of: words))
        } catch {
            let wantsAcks = words.contains { $0.hasPrefix("ack=") && $0 != "ack=none" }
            return .failure(Failure(error: error, wantsAcks: wantsAcks))
        }
    }

    private static func greeting(of words: [Substring]) throws(SessionError) -> Greeting {
        var greeting = Greeting()
        var seen: Set<Substring> = []
        for word in words {
            guard let equals = word.firstIndex(of: "=") else {
                throw SessionError(.badHello, "\(word.quotedForAnswer) in the control line is not key=value")
            }
            let key = word[..<equals]
            let value = word[word.index(after: equals)...]
            guard seen.insert(key).inserted else {
                throw SessionError(.badHello, "key \(key.quotedForAnswer) twice in the control line")
            }
            if key == "epoch" {
                guard let epoch = UInt64(value) else {
                    throw SessionError(.badHello, "epoch: must be 0 to 2^64 - 1, got \(value.quotedForAnswer)")
                }
                greeting.epoch = epoch
            } else if try !greeting.set(key, value) {
                throw SessionError(
                    .badHello,
                    "unknown key \(key.quotedForAnswer) in the control line (there are: table, ack, producer, epoch, format, columns, types, format_csv_delimiter)"
                )
            }
        }
        guard greeting.producer != nil || !seen.contains("epoch") else {
            throw SessionError(.badHello, "epoch without producer: only a producer with a name has one")
        }
        return try greeting.checked(isFramed: false).get()
    }
}
