import NIOCore
import Pipeline
import ProducerProtocol

/// What a session says about itself first: in a control line, or in a HELLO.
struct Greeting: Hashable, Sendable {
    /// Longest name of a producer, in bytes.
    static let producerBytesMax = 128

    /// The table of all rows that name none.
    var table: TableName?
    var ack = AckLevel.none
    var producer: String?
    var epoch: UInt64 = 0
    /// The producer's software, for logs.
    var client: String?
    var format = GreetedFormat()
    /// nil: NDJSON.
    var rows: SessionFormat?

    /// Reads the fields of a HELLO.
    static func parse(_ payload: ByteBuffer, epoch: UInt64) -> Result<Greeting, SessionError> {
        var greeting = Greeting(ack: .durable, epoch: epoch)
        do {
            for (key, value) in try FrameFields(payload).fields {
                switch key {
                case "client": greeting.client = value
                default:
                    guard try greeting.set(key, value) else {
                        return .failure(
                            SessionError(
                                .badHello,
                                "unknown key \(key.quotedForAnswer) in HELLO (there are: producer, ack, table, format, columns, types, format_csv_delimiter, client)"
                            ))
                    }
                }
            }
        } catch let fault as FrameFields.Fault {
            return .failure(SessionError(.badHello, fault.message))
        } catch {
            return .failure(error as? SessionError ?? SessionError(.badHello, "\(error)"))
        }
        return greeting.checked(isFramed: true)
    }

    /// - Returns: Whether there is such a key.
    mutating func set(_ key: some StringProtocol, _ value: some StringProtocol) throws(SessionError) -> Bool {
        switch key {
        case "table":
            guard let table = TableName(parsing: Substring(value)) else {
                throw SessionError(.badHello, "\(value.quotedForAnswer) is not the name of a table")
            }
            self.table = table
        case "ack":
            guard let ack = AckLevel(rawValue: String(value)) else {
                let levels = AckLevel.allCases.map(\.rawValue).joined(separator: ", ")
                throw SessionError(.badHello, "unknown ack \(value.quotedForAnswer) (there are: \(levels))")
            }
            self.ack = ack
        case "producer":
            let isControl = value.unicodeScalars.contains { $0.properties.generalCategory == .control }
            guard (1...Self.producerBytesMax).contains(value.utf8.count), !isControl else {
                throw SessionError(
                    .badHello,
                    "a producer's name has 1 to \(Self.producerBytesMax) bytes and no control characters")
            }
            producer = String(value)
        case _ where GreetedFormat.keys.contains(String(key)): try format.set(key, value)
        default: return false
        }
        return true
    }

    /// What must hold between the fields.
    func checked(isFramed: Bool) -> Result<Greeting, SessionError> {
        guard producer == nil || ack != .none else {
            return .failure(
                SessionError(
                    .badHello, "a producer with a name is told where to resume: it needs an ack other than none"))
        }
        return Result { () throws(SessionError) in
            var greeting = self
            greeting.rows = try format.checked(isFramed: isFramed)
            return greeting
        }
    }
}

/// Why a session ends, as its producer is told.
struct SessionError: Error, Hashable, Sendable {
    let code: SessionErrorCode
    /// One line. Nothing of rows.
    let message: String
    /// The producer should not come again before; it is told how long that is.
    let comeBack: ContinuousClock.Instant?

    init(_ code: SessionErrorCode, _ message: String, comeBack: ContinuousClock.Instant? = nil) {
        self.code = code
        self.message = message
        self.comeBack = comeBack
    }

    /// Whole milliseconds from now on, at least one.
    func retryAfter(from now: ContinuousClock.Instant) -> Int? {
        comeBack.map { max(1, Int(($0 - now).milliseconds.rounded(.up))) }
    }
}
