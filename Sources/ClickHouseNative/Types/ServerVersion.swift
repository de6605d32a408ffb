/// A release of ClickHouse by its year and month: 25.6.
public struct ServerVersion: Comparable, Hashable, Sendable, CustomStringConvertible {
    public let major: UInt64
    public let minor: UInt64

    public init(_ major: UInt64, _ minor: UInt64) {
        self.major = major
        self.minor = minor
    }

    public static func < (a: ServerVersion, b: ServerVersion) -> Bool { (a.major, a.minor) < (b.major, b.minor) }
    public var description: String { "\(major).\(minor)" }
}

extension DataType {
    /// The first server that takes columns of this type in the form in which they are sent; nil: every server that has the
    /// type. Later than the type itself where an older form would be less than exact: JSON as text, Dynamic by types
    /// (ClickHouse's Core/SettingsChangesHistory.cpp).
    public var firstServer: ServerVersion? {
        switch self {
        case .json: ServerVersion(24, 10)
        case .dynamic: ServerVersion(25, 6)
        case .nullable(let inner), .lowCardinality(let inner), .array(let inner), .named(_, let inner):
            inner.firstServer
        case .map(let key, let value): [key, value].compactMap(\.firstServer).max()
        case .tuple(let elements), .nested(let elements): elements.compactMap(\.type.firstServer).max()
        case .variant(let types): types.compactMap(\.firstServer).max()
        default: nil
        }
    }
}
