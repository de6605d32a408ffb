/// How columns whose memory is text go over the wire, by type.
enum TextColumnFormat {
    case string
    /// JSON as text, which the server reads as it would read it in a row (ClickHouse's
    /// DataTypes/Serializations/SerializationObject.h, ObjectSerializationVersion).
    case json
    /// Values with their types, which go as a column for each type (`DynamicColumns`).
    case dynamic

    init(_ type: DataType) {
        switch type {
        case .json: self = .json
        case .dynamic: self = .dynamic
        default: self = .string
        }
    }

    /// The version of JSON's serialization that is text.
    static let jsonAsText: UInt64 = 1

    func writePrefix(to writer: inout FrameWriter) throws(FrameError) {
        switch self {
        case .string, .dynamic: break
        case .json: try writer.write(Self.jsonAsText.littleEndian)
        }
    }

    func readPrefix(from bytes: inout ByteCursor) throws(BlockReadFailure) {
        switch self {
        case .string, .dynamic: break
        case .json:
            let version = try bytes.take(UInt64.self)
            guard version == Self.jsonAsText else {
                throw .refused(
                    BlockError(
                        .unsupportedSerialization,
                        "JSON of version \(version); output_format_native_write_json_as_string = 1 makes it text"))
            }
        }
    }
}

/// The serialization of variants (ClickHouse's DataTypes/Serializations/SerializationVariant.h).
enum VariantFormat {
    /// A byte for each row; the other mode, of granules, is for tables' own files.
    static let basic: UInt64 = 0
}
