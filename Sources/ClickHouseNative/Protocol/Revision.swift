/// The negotiated protocol number: the lower of what both sides announced.
public struct Revision: Hashable, Sendable, Comparable {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: Revision, b: Revision) -> Bool { a.rawValue < b.rawValue }
    public static let newest = Revision(54491)

    public struct Feature: Sendable { let rawValue: UInt64 }
    public func supports(_ feature: Feature) -> Bool { rawValue >= feature.rawValue }
}
extension Revision.Feature {
    public static let customSerialization = Self(rawValue: 54454)
    public static let outOfOrderBuckets = Self(rawValue: 54480)
    public static let stringSizesApart = Self(rawValue: 54492)
}
