/// Why a connection, or a request on it, failed.
public struct ConnectionError: Error, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    public enum Code: String, Sendable {
        /// The server answered with an exception.
        case refusedByServer
        /// The bytes that came are not what they should be, or a request cannot be put into the protocol.
        case protocolViolation
        /// No answer in time.
        case timedOut
        /// The other side, or the network, ended the connection.
        case connectionClosed
        /// We ended it, or the request.
        case cancelled
        /// A result beyond a limit of `ProtocolLimits`.
        case resultTooLarge
        /// A request on a connection that is not free for it; nothing was sent.
        case notReady
    }

    public let code: Code
    /// Where it is `refusedByServer`.
    public let exception: ServerException?
    /// What was thrown, where something was: a `ProtocolError` or an error of the channel.
    public let cause: (any Error)?

    public init(_ code: Code, exception: ServerException? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.exception = exception
        self.cause = cause
    }

    init(_ exception: ServerException) { self.init(.refusedByServer, exception: exception) }

    /// Trying the same again may help.
    public var isTransient: Bool {
        switch code {
        case .refusedByServer: exception?.code.isTransient ?? false
        case .timedOut, .connectionClosed, .notReady: true
        case .protocolViolation, .cancelled, .resultTooLarge: false
        }
    }

    public var description: String {
        switch code {
        case .refusedByServer: "refused by the server: \(exception.map { "\($0)" } ?? "no reason given")"
        case .protocolViolation: (cause as? ProtocolError).map { "\($0)" } ?? "the protocol was violated"
        case .timedOut: "no answer in time"
        case .connectionClosed: "the connection was closed"
        case .cancelled: "cancelled"
        case .resultTooLarge: "the result is larger than allowed"
        case .notReady: "the connection is busy or not open"
        }
    }

    /// With the server's message and the channel's error.
    public var debugDescription: String {
        var text = description
        if let exception { text += ": \(String(reflecting: exception))" }
        if let cause, !(cause is ProtocolError) { text += ": \(cause)" }
        return text
    }
}

/// How an INSERT failed. What may be done next hangs on `outcome`.
public struct InsertFailure: Error, Sendable, CustomStringConvertible {
    public enum Outcome: String, Sendable {
        /// Nothing of the data was handed to the connection: the table is certainly unchanged.
        case notApplied
        /// The server answered with an exception after data was sent. The block that caused it is not in the table, but
        /// some of its partitions, earlier blocks, or views may have been written; see `ErrorCode.leavesInsertInDoubt`.
        case refused
        /// No answer came after data was sent: the table has the rows or has them not.
        case unknown
    }

    public let outcome: Outcome
    public let error: ConnectionError

    public init(_ outcome: Outcome, _ error: ConnectionError) {
        self.outcome = outcome
        self.error = error
    }

    public var description: String { "insert \(outcome.rawValue): \(error)" }
}
