/// An error that the server reports.
public struct ServerException: Error, Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    public let code: ErrorCode
    /// The class of the exception: `DB::Exception`.
    public let name: String
    /// What the server says, without the class's name in front. May quote values of rows: not for logs as it is.
    public let message: String
    public let stackTrace: String
    /// What led to it, outermost first; each of them has none of its own.
    public let nested: [ServerException]

    public init(code: ErrorCode, name: String, message: String, stackTrace: String, nested: [ServerException] = []) {
        self.code = code
        self.name = name
        let prefix = name + ": "
        self.message = message.hasPrefix(prefix) ? String(message.dropFirst(prefix.count)) : message
        self.stackTrace = stackTrace
        self.nested = nested
    }

    /// Without the message, which may hold what the rows hold; `message` and `String(reflecting:)` have it.
    public var description: String { "ClickHouse error \(code)" }

    public var debugDescription: String {
        ([self] + nested).map { "\($0.code) \($0.name): \($0.message)" }.joined(separator: "; caused by ")
    }
}

extension PacketReader {
    /// An exception and those inside it (ClickHouse's IO/ReadHelpers.cpp, readException).
    mutating func exception() throws -> ServerException {
        var chain: [ServerException] = []
        var hasNested = true
        while hasNested {
            guard chain.count < limits.exceptionDepthMax else {
                throw ProtocolError(.limit, "more than \(limits.exceptionDepthMax) exceptions in one")
            }
            let code = ErrorCode(rawValue: try integer(Int32.self))
            let name = try text(max: limits.nameBytesMax, "name of an exception")
            let message = try text(max: limits.textBytesMax, "message of an exception")
            let stackTrace = try text(max: limits.textBytesMax, "stack trace of an exception")
            hasNested = try flag()
            chain.append(ServerException(code: code, name: name, message: message, stackTrace: stackTrace))
        }
        let outer = chain[0]
        return ServerException(
            code: outer.code, name: outer.name, message: outer.message, stackTrace: outer.stackTrace,
            nested: Array(chain.dropFirst()))
    }
}
