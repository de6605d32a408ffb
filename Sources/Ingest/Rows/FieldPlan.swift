// Unsafe by design. The invariant: `operations` points to `operationCount` initialized operations and `successors` is
// not here but with the writer (a plan is immutable). Everything is allocated in init and freed in deinit; operations
// refer to nodes of `layout`, to other operations and to `enumerations` by numbers that init made.

import ClickHouseNative
import Pipeline

/// How one value of a column, or of an array's elements, is read.
enum FieldKind: UInt8 {
    case int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64
    case bool, string, fixedString, uuid, date, date32, dateTime, dateTime64, enum8, enum16
    case decimal32, decimal64, decimal128
    case array, lowCardinality
    /// A column that this plan leaves out; a value for it sends the row to another plan.
    case omitted
    /// A column that the server computes.
    case computed
}

/// One step of a plan: plain bytes, no references to count.
struct FieldOperation {
    var kind: FieldKind
    /// The root node is a null map, and the value goes into `value`.
    var isNullable = false
    /// An omitted value is the server's business (`DEFAULT expr`).
    var hasExpression = false
    var root: Int32 = -1
    var value: Int32 = -1
    /// The value node's, for strings.
    var node = BlockLayout.Node(kind: .fixed, width: 0)
    /// Fixed strings: bytes. Decimals and DateTime64: digits behind the point.
    var scale: Int32 = 0
    var precision: Int32 = 0
    /// Arrays: the elements' operation. Enums: place in `enumerations`. Low cardinality: the values' operation in the
    /// plan's `dictionaryPlans`; -1 for strings, which need none.
    var detail: Int32 = -1
    /// Of times; nil is UTC.
    var zone: Unmanaged<TimeZoneRules>?
}

/// A table's structure made ready for reading rows: which columns a block has, and how each is read.
final class FieldPlan: @unchecked Sendable {
    let structure: TableStructure
    let layout: BlockLayout
    /// Columns of the structure that the blocks do not have, by place: the server computes them.
    let omitted: Set<Int>
    let operations: UnsafeMutablePointer<FieldOperation>
    /// Operations of columns come first, in the structure's order, then computed columns, then nested ones.
    let columnCount: Int
    let computedCount: Int
    let keys: KeyIndex
    private(set) var enumerations: [(names: KeyIndex, values: [Int16])] = []
    /// For low-cardinality columns of other than strings: a plan of the bare values.
    private(set) var dictionaryPlans: [FieldPlan] = []
    /// Columns with an expression that can be left out.
    let expressionColumns: [Int]
    let hasExpressions: Bool
    private var zones: [TimeZoneRules] = []
    private let operationCount: Int

    /// - Throws: `TimeZoneError` for a zone that this host does not know.
    init(_ structure: TableStructure, omitting omitted: Set<Int> = []) throws {
        self.structure = structure
        self.omitted = omitted
        layout = BlockLayout(
            structure.columns.indices.filter { !omitted.contains($0) }.map { structure.columns[$0].definition })
        columnCount = structure.columns.count
        computedCount = structure.computedColumns.count
        keys = KeyIndex(structure.columns.map(\.definition.name) + structure.computedColumns)
        expressionColumns = structure.columns.indices.filter {
            if case .expression = structure.columns[$0].defaultValue { true } else { false }
        }

        hasExpressions = !expressionColumns.isEmpty

        var builder = PlanBuilder(layout: layout, structure: structure)
        builder.operations =
            .init(
                repeating: FieldOperation(kind: .omitted), count: columnCount)
            + .init(
                repeating: FieldOperation(kind: .computed), count: computedCount)
        var root = layout.roots.makeIterator()
        for (place, column) in structure.columns.enumerated() where !omitted.contains(place) {
            builder.operations[place] = try builder.operation(for: column.definition.type, root: root.next()!)
        }
        for place in expressionColumns { builder.operations[place].hasExpression = true }
        operationCount = builder.operations.count
        operations = .allocate(capacity: max(1, operationCount))
        operations.initialize(from: builder.operations, count: operationCount)
        enumerations = builder.enumerations
        dictionaryPlans = builder.dictionaryPlans
        zones = builder.zones
    }

    deinit {
        operations.deinitialize(count: operationCount)
        operations.deallocate()
        keys.deallocate()
        for enumeration in enumerations { enumeration.names.deallocate() }
    }

    func name(ofColumn place: Int32) -> String? {
        switch Int(place) {
        case 0..<columnCount: structure.columns[Int(place)].definition.name
        case columnCount..<columnCount + computedCount: structure.computedColumns[Int(place) - columnCount]
        default: nil
        }
    }
}

private struct PlanBuilder {
    let layout: BlockLayout
    let structure: TableStructure
    var operations: [FieldOperation] = []
    var enumerations: [(names: KeyIndex, values: [Int16])] = []
    var dictionaryPlans: [FieldPlan] = []
    var zones: [TimeZoneRules] = []

    mutating func operation(for type: DataType, root: Int) throws -> FieldOperation {
        var operation = FieldOperation(kind: .int8, root: Int32(root), value: Int32(root))
        var bare = type
        if case .nullable(let inner) = type {
            bare = inner
            operation.isNullable = true
            operation.value = Int32(layout.nodes[root].child)
        }
        operation.node = layout.nodes[Int(operation.value)]
        switch bare {
        case .int8: operation.kind = .int8
        case .int16: operation.kind = .int16
        case .int32: operation.kind = .int32
        case .int64: operation.kind = .int64
        case .uint8: operation.kind = .uint8
        case .uint16: operation.kind = .uint16
        case .uint32: operation.kind = .uint32
        case .uint64: operation.kind = .uint64
        case .float32: operation.kind = .float32
        case .float64: operation.kind = .float64
        case .bool: operation.kind = .bool
        case .string: operation.kind = .string
        case .fixedString(let length):
            operation.kind = .fixedString
            operation.scale = Int32(length)
        case .uuid: operation.kind = .uuid
        case .date: operation.kind = .date
        case .date32: operation.kind = .date32
        case .dateTime(let zone):
            operation.kind = .dateTime
            operation.zone = try rules(zone)
        case .dateTime64(let precision, let zone):
            operation.kind = .dateTime64
            operation.scale = Int32(precision)
            operation.zone = try rules(zone)
        case .enum8(let members):
            operation.kind = .enum8
            operation.detail = add(members)
        case .enum16(let members):
            operation.kind = .enum16
            operation.detail = add(members)
        case .decimal(let precision, let scale):
            operation.kind = precision <= 9 ? .decimal32 : precision <= 18 ? .decimal64 : .decimal128
            operation.precision = Int32(precision)
            operation.scale = Int32(scale)
        case .array(let element):
            operation.kind = .array
            let nested = try self.operation(for: element, root: layout.nodes[root].child)
            operation.detail = Int32(operations.count)
            operations.append(nested)
        case .lowCardinality(let inner):
            operation.kind = .lowCardinality
            let value = if case .nullable(let bare) = inner { bare } else { inner }
            operation.isNullable = value != inner
            if value != .string {
                operation.detail = Int32(dictionaryPlans.count)
                dictionaryPlans.append(
                    try FieldPlan(
                        TableStructure(
                            columns: [TableStructure.Column(ColumnDefinition(name: "", type: value))],
                            timeZone: structure.timeZone)))
            }
        case .nullable:
            preconditionFailure("Nullable inside Nullable, which no type name gives")
        }
        return operation
    }

    private mutating func add(_ members: EnumMembers) -> Int32 {
        enumerations.append((KeyIndex(members.members.map(\.name)), members.members.map(\.value)))
        return Int32(enumerations.count - 1)
    }

    private mutating func rules(_ name: String?) throws -> Unmanaged<TimeZoneRules>? {
        let rules = try TimeZoneRules.named(name ?? structure.timeZone)
        if rules.isUTC { return nil }
        zones.append(rules)
        return Unmanaged.passUnretained(rules)
    }
}
