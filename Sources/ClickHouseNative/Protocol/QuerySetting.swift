import NIOCore

/// A setting that goes with a query, or that a server's hello names.
public struct QuerySetting: Hashable, Sendable {
    public let name: String
    public let value: String
    /// A server that does not know an important setting refuses the query; it ignores any other.
    public let isImportant: Bool

    static let importantFlag: UInt64 = 1
    private static let customFlag: UInt64 = 2

    public init(_ name: String, _ value: String, isImportant: Bool = false) {
        self.name = name
        self.value = value
        self.isImportant = isImportant
    }

    /// Appends all settings as a query has them, with the empty name that ends them.
    static func write(_ settings: [QuerySetting], to buffer: inout ByteBuffer, revision: Revision) throws(ProtocolError)
    {
        for setting in settings {
            if revision.supports(.settingsAsStrings) {
                buffer.writeText(setting.name)
                buffer.writeVarUInt(setting.isImportant ? importantFlag : 0)
                buffer.writeText(setting.value)
            } else {
                try setting.writeBinary(to: &buffer)
            }
        }
        buffer.writeText("")
    }

    /// Parameters of a query (`{name:Type}`) travel as settings whose value is a quoted literal.
    static func write(parameters: [QueryParameter], to buffer: inout ByteBuffer) {
        for parameter in parameters {
            buffer.writeText(parameter.name)
            buffer.writeVarUInt(customFlag)
            buffer.writeText(parameter.literal)
        }
        buffer.writeText("")
    }

    /// As servers before revision 54429 read it: name and value, where the receiver's type of the setting says how long
    /// the value is. They have no way to skip one that they do not know, so it is left out, unless it is important.
    private func writeBinary(to buffer: inout ByteBuffer) throws(ProtocolError) {
        guard let kind = Self.kinds[name] else {
            if isImportant { throw ProtocolError(.requestNotExpressible, "the server is too old for setting \(name)") }
            return
        }
        switch kind {
        case .number:
            guard let number = UInt64(value) ?? (value == "true" ? 1 : value == "false" ? 0 : nil) else {
                throw ProtocolError(.requestNotExpressible, "setting \(name) needs a number of 0 or more")
            }
            buffer.writeText(name)
            buffer.writeVarUInt(number)
        case .text:
            buffer.writeText(name)
            buffer.writeText(value)
        }
    }

    private enum Kind {
        /// Numbers, switches, and times in their unit, all as LEB128.
        case number
        case text
    }

    /// Settings of ClickHouse 18.16 that a client which inserts may want (its Interpreters/Settings.h).
    private static let kinds: [String: Kind] = [
        "connect_timeout": .number, "date_time_input_format": .text, "extremes": .number,
        "input_format_allow_errors_num": .number, "input_format_skip_unknown_fields": .number,
        "insert_allow_materialized_columns": .number, "insert_deduplicate": .number,
        "insert_distributed_sync": .number, "insert_distributed_timeout": .number, "insert_quorum": .number,
        "insert_quorum_timeout": .number, "load_balancing": .text, "log_queries": .number,
        "low_cardinality_allow_in_native_format": .number, "max_block_size": .number,
        "max_execution_time": .number, "max_insert_block_size": .number, "max_memory_usage": .number,
        "max_query_size": .number, "max_result_bytes": .number, "max_result_rows": .number, "max_threads": .number,
        "min_insert_block_size_bytes": .number, "min_insert_block_size_rows": .number,
        "network_compression_method": .text, "poll_interval": .number, "priority": .number, "readonly": .number,
        "receive_timeout": .number, "select_sequential_consistency": .number, "send_logs_level": .text,
        "send_timeout": .number,
    ]
}

/// A value for `{name:Type}` in a query's text.
public struct QueryParameter: Hashable, Sendable {
    public let name: String
    public let value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    /// The value between quotes, with the two characters escaped that would end or change it.
    var literal: String {
        var quoted = "'"
        for character in value.unicodeScalars {
            if character == "'" || character == "\\" { quoted.append("\\") }
            quoted.unicodeScalars.append(character)
        }
        return quoted + "'"
    }
}
