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
    case int128, int256, uint128, uint256, bfloat16
    case ipv4, ipv6, time, time64
    case decimal256
    case tuple, map, variant, json, dynamic
    /// A type without values.
    case nothing
    /// A value within a Variant, of the kind that `tried` says: some are read by other rules there.
    case tried
    /// A value of the kind that `restricted` says, which does not take all that it takes by default.
    case restricted
}

extension FieldKind {
    /// Within Variants, values of this kind are not read as elsewhere (`RowParser.tried`).
    fileprivate var hasRulesInVariants: Bool {
        switch self {
        case .float32, .float64, .bfloat16, .string, .fixedString, .uuid, .ipv4, .ipv6, .array, .tuple, .map,
            .lowCardinality, .variant, .json, .dynamic, .nothing, .omitted, .computed, .tried, .restricted:
            false
        default: true
        }
    }

    /// What of a table's restrictions is about values of this kind. Of UInt8 and Int8 none is: they take booleans always
    /// (ClickHouse's SerializationNumber.cpp).
    fileprivate func restrictions(_ all: Restrictions) -> Restrictions {
        switch self {
        case .int16, .int32, .int64, .uint16, .uint32, .uint64, .int128, .uint128, .int256, .uint256, .float32,
            .float64, .bfloat16, .date, .date32:
            all.intersection(.noBools)
        case .string: all.intersection(.ofText)
        default: []
        }
    }
}

/// One step of a plan: plain bytes, no references to count.
struct FieldOperation {
    var kind: FieldKind
    /// The root node is a null map, and the value goes into `value`.
    var isNullable = false
    /// A null is a value of the type.
    var takesNull = false
    /// Of kind `tried`: what is read.
    var tried = FieldKind.nothing
    /// Of kind `restricted`: what is read, and what of it is not taken.
    var restricted = FieldKind.nothing
    var restrictions: Restrictions = []
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
    /// plan's `dictionaryPlans`; -1 for strings, which need none. Maps: the keys' operation, behind which the values' is.
    /// Tuples: place in `tuples`. Variants: place in `variants`. JSON: place in `objects`; -1 where no path has a type.
    var detail: Int32 = -1
    /// Of times; nil is UTC.
    var zone: Unmanaged<TimeZoneRules>?
}

/// How a tuple is read.
struct TuplePlan {
    /// Operations of the elements, one behind the other.
    let first: Int
    let count: Int
    /// The elements' names; nil where they have none.
    let names: KeyIndex?
}

/// How a Variant is read.
struct VariantPlan {
    /// Operations of the alternatives, one behind the other, in the type's order.
    let first: Int
    /// In which order they are tried.
    let order: [Int]
}

/// How a JSON object is checked.
struct ObjectPlan {
    /// The paths with types of their own.
    let paths: KeyIndex
    /// How each path's value is read.
    let plans: [FieldPlan]
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
    /// How rows are read by this plan.
    let options: RowOptions
    /// Columns that objects may have the fields of; nil: none.
    let nestedFields: NestedFields?
    private(set) var enumerations: [(names: KeyIndex, values: [Int16])] = []
    private(set) var tuples: [TuplePlan] = []
    private(set) var variants: [VariantPlan] = []
    private(set) var objects: [ObjectPlan] = []
    /// Array nodes of columns `a.b` that stand for one Nested `a`: their arrays are of one length in each row
    /// (ClickHouse's DataTypes/NestedUtils.cpp).
    let nestedGroups: [[Int]]
    let hasNestedGroups: Bool
    /// For low-cardinality columns of other than strings: a plan of the bare values.
    private(set) var dictionaryPlans: [FieldPlan] = []
    /// Columns with an expression that can be left out.
    let expressionColumns: [Int]
    let hasExpressions: Bool
    private var zones: [TimeZoneRules] = []
    private let operationCount: Int
    /// Plans of bare values, for the types that values of Dynamic columns had. A plan is used by one worker.
    private var dynamicPlans: [DataType: FieldPlan] = [:]
    /// Types that are remembered; beyond it the memory starts anew.
    private static let dynamicPlansMax = 256

    /// - Throws: `TimeZoneError` for a zone that this host does not know.
    convenience init(
        _ structure: TableStructure, omitting omitted: Set<Int> = [], options: RowOptions = RowOptions()
    ) throws {
        try self.init(structure, omitting: omitted, options: options, isWithinVariant: false)
    }

    fileprivate init(
        _ structure: TableStructure, omitting omitted: Set<Int>, options: RowOptions, isWithinVariant: Bool
    ) throws {
        self.structure = structure
        self.omitted = omitted
        self.options = options
        layout = BlockLayout(
            structure.columns.indices.filter { !omitted.contains($0) }.map { structure.columns[$0].definition })
        columnCount = structure.columns.count
        computedCount = structure.computedColumns.count
        let names = structure.columns.map(\.definition.name) + structure.computedColumns
        let nested = options.importsNested ? NestedFields(names) : nil
        // Where a Nested `a` has columns, a field `a` is theirs, and a column `a` has none (ClickHouse's
        // JSONEachRowRowInputFormat.cpp). No key has a newline.
        keys = KeyIndex(names.map { nested?.has($0) == true ? $0 + "\n" : $0 })
        nestedFields = nested?.isEmpty == false ? nested : nil
        expressionColumns = structure.columns.indices.filter {
            guard options.defaultsForOmittedFields else { return false }
            return if case .expression = structure.columns[$0].defaultValue { true } else { false }
        }

        hasExpressions = !expressionColumns.isEmpty

        var builder = PlanBuilder(
            layout: layout, structure: structure, options: options, isWithinVariant: isWithinVariant)
        builder.operations =
            .init(
                repeating: FieldOperation(kind: .omitted), count: columnCount)
            + .init(
                repeating: FieldOperation(kind: .computed), count: computedCount)
        nestedGroups = Self.nestedGroups(of: layout)
        hasNestedGroups = !nestedGroups.isEmpty
        var root = layout.roots.makeIterator()
        for (place, column) in structure.columns.enumerated() where !omitted.contains(place) {
            builder.operations[place] = try builder.operation(for: column.definition.type, root: root.next()!)
        }
        for place in expressionColumns { builder.operations[place].hasExpression = true }
        operationCount = builder.operations.count
        operations = .allocate(capacity: max(1, operationCount))
        operations.initialize(from: builder.operations, count: operationCount)
        enumerations = builder.enumerations
        tuples = builder.tuples
        variants = builder.variants
        objects = builder.objects
        dictionaryPlans = builder.dictionaryPlans
        zones = builder.zones
    }

    deinit {
        operations.deinitialize(count: operationCount)
        operations.deallocate()
        keys.deallocate()
        nestedFields?.deallocate()
        for enumeration in enumerations { enumeration.names.deallocate() }
        for tuple in tuples { tuple.names?.deallocate() }
        for object in objects { object.paths.deallocate() }
    }

    /// A plan for a bare value of a type.
    func plan(ofDynamic type: DataType) throws -> FieldPlan {
        if let known = dynamicPlans[type] { return known }
        if dynamicPlans.count >= Self.dynamicPlansMax { dynamicPlans.removeAll() }
        let plan = try FieldPlan(
            TableStructure(
                columns: [TableStructure.Column(ColumnDefinition(name: "", type: type))], timeZone: structure.timeZone),
            options: options)
        dynamicPlans[type] = plan
        return plan
    }

    private static func nestedGroups(of layout: BlockLayout) -> [[Int]] {
        var groups: [Substring: [Int]] = [:]
        for (column, root) in zip(layout.columns, layout.roots) {
            guard case .array = column.type.underlying, let point = column.name.firstIndex(of: "."),
                point > column.name.startIndex, column.name.index(after: point) < column.name.endIndex
            else { continue }
            groups[column.name[..<point], default: []].append(root)
        }
        return groups.values.filter { $0.count > 1 }
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
    let options: RowOptions
    var isWithinVariant: Bool
    var operations: [FieldOperation] = []
    var enumerations: [(names: KeyIndex, values: [Int16])] = []
    var tuples: [TuplePlan] = []
    var variants: [VariantPlan] = []
    var objects: [ObjectPlan] = []
    var dictionaryPlans: [FieldPlan] = []
    var zones: [TimeZoneRules] = []

    mutating func operation(for named: DataType, root: Int) throws -> FieldOperation {
        var operation = FieldOperation(kind: .int8, root: Int32(root), value: Int32(root))
        var bare = named.underlying
        if case .nullable(let inner) = bare {
            bare = inner.underlying
            operation.isNullable = true
            operation.takesNull = true
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
            operation.kind =
                precision <= 9 ? .decimal32 : precision <= 18 ? .decimal64 : precision <= 38 ? .decimal128 : .decimal256
            operation.precision = Int32(precision)
            operation.scale = Int32(scale)
        case .array(let element):
            operation.kind = .array
            operation.detail = Int32(try add([element], below: operation))
        case .lowCardinality(let inner):
            operation.kind = .lowCardinality
            operation.isNullable = bare.isNullableDictionary
            operation.takesNull = operation.isNullable
            let value = if case .nullable(let plain) = inner.underlying { plain.underlying } else { inner.underlying }
            if value != .string {
                operation.detail = Int32(dictionaryPlans.count)
                dictionaryPlans.append(try plan(ofValues: value))
            }
        case .int128: operation.kind = .int128
        case .int256: operation.kind = .int256
        case .uint128: operation.kind = .uint128
        case .uint256: operation.kind = .uint256
        case .bfloat16: operation.kind = .bfloat16
        case .ipv4: operation.kind = .ipv4
        case .ipv6: operation.kind = .ipv6
        case .time: operation.kind = .time
        case .time64(let precision):
            operation.kind = .time64
            operation.scale = Int32(precision)
        case .interval: operation.kind = .int64
        case .nothing: operation.kind = .nothing
        case .tuple(let elements):
            operation.kind = .tuple
            let first = try add(elements.map(\.type), below: operation)
            let names = options.namedTuplesAsObjects ? elements.compactMap(\.name) : []
            operation.detail = Int32(tuples.count)
            tuples.append(
                TuplePlan(first: first, count: elements.count, names: names.isEmpty ? nil : KeyIndex(names)))
        case .map(let key, let value):
            operation.kind = .map
            // Below the array there is a tuple of both.
            var entry = operation
            entry.value = Int32(layout.nodes[Int(operation.value)].child)
            operation.detail = Int32(try add([key, value], below: entry))
        case .variant(let alternatives):
            operation.kind = .variant
            operation.takesNull = true
            let isOutermost = !isWithinVariant
            isWithinVariant = true
            let first = try add(alternatives, below: operation)
            if isOutermost { isWithinVariant = false }
            operation.detail = Int32(variants.count)
            variants.append(VariantPlan(first: first, order: VariantOrder.order(of: alternatives)))
        case .json:
            operation.kind = .json
            let paths = try bare.typedPaths()
            guard !paths.isEmpty else { break }
            operation.detail = Int32(objects.count)
            objects.append(
                ObjectPlan(
                    paths: KeyIndex(paths.map(\.name)),
                    plans: try paths.map { try plan(ofValues: $0.type, options: options.ofServer) }))
        case .dynamic:
            operation.kind = .dynamic
            operation.takesNull = true
        case .nullable, .nested, .named:
            preconditionFailure("\(bare), which no type name gives")
        }
        if isWithinVariant, operation.kind.hasRulesInVariants {
            operation.tried = operation.kind
            operation.kind = .tried
        }
        restrict(&operation)
        return operation
    }

    private func restrict(_ operation: inout FieldOperation) {
        var kind = operation.kind == .tried ? operation.tried : operation.kind
        if kind == .lowCardinality {
            // Strings are read at once; others by a plan of their own, which has the restrictions.
            guard operation.detail < 0 else { return }
            kind = .string
        }
        operation.restrictions = kind.restrictions(options.restrictions)
        guard !operation.restrictions.isEmpty else { return }
        if operation.kind == .lowCardinality { operation.isNullable = false }
        operation.restricted = operation.kind
        operation.kind = .restricted
    }

    /// A plan for bare values of a type.
    private func plan(ofValues type: DataType, options: RowOptions? = nil) throws -> FieldPlan {
        try FieldPlan(
            TableStructure(
                columns: [TableStructure.Column(ColumnDefinition(name: "", type: type))], timeZone: structure.timeZone),
            omitting: [], options: options ?? self.options, isWithinVariant: isWithinVariant)
    }

    /// Adds the operations for the children of an operation's node; the place of the first, behind which the others are.
    private mutating func add(_ types: [DataType], below operation: FieldOperation) throws -> Int {
        var added: [FieldOperation] = []
        for (type, root) in zip(types, layout.children(of: Int(operation.value))) {
            added.append(try self.operation(for: type, root: root))
        }
        operations += added
        return operations.count - added.count
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
