/// Bounds on what a server can make us hold, checked before memory is asked for.
public struct ProtocolLimits: Hashable, Sendable {
    /// Each text of the hello, in bytes, and of a time zone update. ClickHouse's own bound
    /// (Core/ProtocolDefines.h, DBMS_MAX_HELLO_STRING_SIZE).
    public var helloTextBytesMax = 4096
    /// Rules for passwords in the hello. ClickHouse's own bound (DBMS_MAX_PASSWORD_COMPLEXITY_RULES).
    public var passwordRulesMax = 256
    /// Settings in the hello; ClickHouse has some 1,500.
    public var helloSettingsMax = 10_000
    /// The name of a table or of an exception's class, in bytes.
    public var nameBytesMax = 64 << 10
    /// The message and the stack trace of an exception, each, and a table's description, in bytes.
    public var textBytesMax = 4 << 20
    /// Exceptions within an exception.
    public var exceptionDepthMax = 16
    /// Bytes of one packet as it arrives.
    public var packetBytesMax = 64 << 20
    /// Bytes of one block after its frames are decompressed.
    public var blockBytesMax = 256 << 20
    /// Rows of a query's whole result.
    public var resultRowsMax = 1_000_000
    /// Bytes that the blocks of a query's result take in memory.
    public var resultBytesMax = 256 << 20

    public init() {}
}
