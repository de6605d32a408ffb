import ClickHouseNative
import TestSupport

/// Types at random: every one that a table can have, nested in each other.
struct RandomTypes {
    var random: SeededRandom

    /// - Parameter depth: how many types may still be around others.
    mutating func type(depth: Int) -> DataType {
        guard depth > 0, !random.one(in: 3) else { return scalar() }
        switch random.int(0...14) {
        case 0, 1, 2: return .array(type(depth: depth - 1))
        case 3, 4: return .tuple(elements(depth: depth - 1, named: true))
        case 5: return .tuple(elements(depth: depth - 1, named: false))
        case 6, 7: return .map(key: key(), value: type(depth: depth - 1))
        case 8: return .nullable(nullable(depth: depth - 1))
        case 9: return .lowCardinality(lowCardinality())
        case 10: return variant(depth: depth - 1)
        case 11:
            let names = [
                "Point", "Ring", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "JSON", "Geometry",
            ]
            return parsed(names.randomElement(using: &random)!)
        case 12: return parsed("SimpleAggregateFunction(any, \(scalar()))")
        case 13: return .dynamic(name: "Dynamic")
        default: return .json(name: "JSON(t UInt8, s.d Array(Nullable(Int32)), SKIP k)")
        }
    }

    private func parsed(_ name: String) -> DataType {
        guard let type = try? DataType(parsing: name) else { preconditionFailure(name) }
        return type
    }

    private mutating func nullable(depth: Int) -> DataType {
        depth > 0 && random.one(in: 4) ? .tuple(elements(depth: depth - 1, named: true)) : scalar()
    }

    private static let names = ["a", "b", "c", "x y", "é", "select", "a.b", "1", "long_name_of_an_element", "A"]

    private mutating func elements(depth: Int, named: Bool) -> [TupleElement] {
        let names = Self.names.shuffled(using: &random)
        return (0..<random.int(1...4)).map { place in
            TupleElement(name: named ? names[place] : nil, type: type(depth: depth))
        }
    }

    private mutating func variant(depth: Int) -> DataType {
        var names: [String] = []
        for _ in 0..<random.int(1...4) {
            let type = type(depth: depth)
            switch type.underlying {
            case .nullable, .lowCardinality, .variant, .dynamic: continue
            default: names.append(type.description)
            }
        }
        return (try? DataType(parsing: "Variant(\((names + ["String"]).joined(separator: ", ")))")) ?? .string
    }

    private mutating func key() -> DataType {
        let keys: [DataType] = [
            .string, .string, .lowCardinality(.string), .fixedString(5), .uint8, .int64, .int128, .date,
            .dateTime(timeZone: "UTC"), .uuid, .ipv4, .ipv6, enumeration(), .uint256,
        ]
        return keys.randomElement(using: &random)!
    }

    private mutating func lowCardinality() -> DataType {
        let bare: [DataType] = [
            .string, .string, .fixedString(4), .uint16, .int64, .date, .date32, .dateTime(timeZone: nil), .uuid, .ipv4,
            .ipv6, .int256, .bool, .uint128, .time,
        ]
        let type = bare.randomElement(using: &random)!
        return random.one(in: 3) ? .nullable(type) : type
    }

    private func enumeration() -> DataType { parsed("Enum8('a' = 1, 'b c' = -2, 'é' = 3, '' = 100)") }

    mutating func scalar() -> DataType {
        let precision = random.int(1...76)
        let all: [DataType] = [
            .int8, .int16, .int32, .int64, .int128, .int256, .uint8, .uint16, .uint32, .uint64, .uint128, .uint256,
            .float32, .float64, .bfloat16, .bool, .string, .string, .string, .fixedString(random.int(1...20)), .uuid,
            .ipv4, .ipv6, .date, .date32, .dateTime(timeZone: nil), .dateTime(timeZone: "America/New_York"),
            .dateTime64(precision: random.int(0...9), timeZone: "UTC"),
            .dateTime64(precision: 3, timeZone: "Europe/Berlin"), .time, .time64(precision: random.int(0...9)),
            .interval(IntervalUnit.allCases.randomElement(using: &random)!), enumeration(),
            parsed("Enum16('x' = 1000, 'y' = -1000)"),
            .decimal(precision: precision, scale: random.int(0...precision)),
            .decimal(precision: [9, 18, 38, 76].randomElement(using: &random)!, scale: random.int(0...9)),
        ]
        return all.randomElement(using: &random)!
    }
}

extension DataType {
    /// Whether a type is, or is made of, one for which the test says so.
    func contains(_ test: (DataType) -> Bool) -> Bool {
        if test(self) { return true }
        switch self {
        case .nullable(let inner), .lowCardinality(let inner), .array(let inner), .named(_, let inner):
            return inner.contains(test)
        case .tuple(let elements), .nested(let elements): return elements.contains { $0.type.contains(test) }
        case .map(let key, let value): return key.contains(test) || value.contains(test)
        case .variant(let types): return types.contains { $0.contains(test) }
        default: return false
        }
    }
}
