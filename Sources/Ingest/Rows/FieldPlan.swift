// Unsafe by design. The invariant: `operations` points to `operationCount` initialized operations and `successors` is
// not here but with the writer (a plan is immutable). Everything is allocated in init and freed in deinit; operations
// refer to nodes of `layout`, to other operations and to `enumerations` by numbers that init made.

import CSluice
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
    /// A value of a column with rules (`RulePlan`).
    case ruled
}

extension FieldKind {
    /// Within Variants, values of this kind are not read as elsewhere (`RowParser.tried`).
    var hasRulesInVariants: Bool {
        switch self {
        case .float32, .float64, .bfloat16, .string, .fixedString, .uuid, .ipv4, .ipv6, .array, .tuple, .map,
            .lowCardinality, .variant, .json, .dynamic, .nothing, .omitted, .computed, .tried, .restricted, .ruled:
            false
        default: true
        }
    }

    /// What of a table's restrictions is about values of this kind. Of UInt8 and Int8 none is: they take booleans always
    /// (ClickHouse's SerializationNumber.cpp).
    func restrictions(_ all: Restrictions) -> Restrictions {
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
    /// Set once all else is: reads values of the usual shape; nil: there are none.
    var read: QuickReader?
    var field: UnsafePointer<sluice_field>?
    /// Of a column with a null map: the same without it.
    var readValue: QuickReader?
    /// A byte for each value goes into `root`, which is a null map.
    var hasNullMap = false
    /// Zeros that are a value of the type, its default; 0: that takes more.
    var defaultZeros = 0
    /// The same where a null may be read at a glance, and is the default, with or without a mark in the null map.
    var nullZeros = 0
    /// Of integers and decimals: the largest and the smallest value, without their signs.
    var magnitudeMax: UInt64 = 0
    var negativeMax: UInt64 = 0
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
    /// What quick looks need of each operation, one line of the cache.
    let fields: UnsafeMutablePointer<sluice_field>
    /// The columns by name, for quick looks.
    let slots: UnsafeMutablePointer<sluice_field_slot>
    /// 1: not each name is in the first of them that is looked at.
    let slotsAreProbed: Int32
    /// Operations of columns come first, in the structure's order, then computed columns, then nested ones.
    let columnCount: Int
    let computedCount: Int
    let keys: KeyIndex
    /// How rows are read by this plan.
    let options: RowOptions
    /// Columns that objects may have the fields of; nil: none.
    let nestedFields: NestedFields?
    /// nil: the table has no rules.
    let rules: RulePlan?
    let hasRules: Bool
    /// What the rules point to.
    private let ruleSet: RuleSet?
    private(set) var enumerations: [(names: KeyIndex, values: [Int16])] = []
    /// The same for quick looks.
    let quickEnumerations: UnsafeMutablePointer<QuickEnumeration>
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

    /// - Parameter pool: where blocks are shared with tables of the same columns.
    /// - Throws: `TimeZoneError` for a zone that this host does not know.
    convenience init(
        _ structure: TableStructure, omitting omitted: Set<Int> = [], options: RowOptions = RowOptions(),
        rules: RuleSet? = nil, seed: UInt64 = 0, pool: BlockPool? = nil
    ) throws {
        try self.init(
            structure, omitting: omitted, options: options, isWithinVariant: false, rules: rules, seed: seed, pool: pool
        )
    }

    init(
        _ structure: TableStructure, omitting omitted: Set<Int>, options: RowOptions, isWithinVariant: Bool,
        rules ruleSet: RuleSet? = nil, seed: UInt64 = 0, pool: BlockPool? = nil
    ) throws {
        self.structure = structure
        self.omitted = omitted
        self.options = options
        let columns = structure.columns.indices.filter { !omitted.contains($0) }.map {
            structure.columns[$0].definition
        }
        layout = pool?.layout(of: columns) ?? BlockLayout(columns)
        columnCount = structure.columns.count
        computedCount = structure.computedColumns.count
        let names = structure.columns.map(\.definition.name) + structure.computedColumns
        let nested = options.importsNested ? NestedFields(names) : nil
        // Where a Nested `a` has columns, a field `a` is theirs, and a column `a` has none (ClickHouse's
        // JSONEachRowRowInputFormat.cpp). No key has a newline.
        let own = names.map { nested?.has($0) == true ? $0 + "\n" : $0 }
        keys = KeyIndex(own + (ruleSet?.keys.map(\.name) ?? []))
        nestedFields = nested?.isEmpty == false ? nested : nil
        expressionColumns = structure.columns.indices.filter {
            guard options.defaultsForOmittedFields, ruleSet?.owned.contains($0) != true else { return false }
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
        // A null for one of these is a value, and no omission.
        for place in omitted {
            builder.operations[place].takesNull = structure.columns[place].definition.type.takesNull
        }
        self.ruleSet = ruleSet
        hasRules = ruleSet != nil
        rules = ruleSet.map {
            RulePlan($0, &builder.operations, omitted: omitted, firstKey: names.count, seed: seed)
        }
        for place in builder.operations.indices { builder.operations[place].prepareQuickLook(layout, options) }
        operationCount = builder.operations.count
        operations = .allocate(capacity: max(1, operationCount))
        operations.initialize(from: builder.operations, count: operationCount)
        fields = Self.fields(operations, operationCount, keys, columns: columnCount)
        slots = UnsafeMutableRawPointer.allocate(
            byteCount: keys.slotCount * MemoryLayout<sluice_field_slot>.stride, alignment: 64
        ).bindMemory(to: sluice_field_slot.self, capacity: keys.slotCount)
        slotsAreProbed = sluice_fill_slots(slots, keys.table, fields, Int64(columnCount))
        quickEnumerations = .allocate(capacity: max(1, builder.enumerations.count))
        for (place, enumeration) in builder.enumerations.enumerated() {
            (quickEnumerations + place).initialize(to: QuickEnumeration(enumeration.names, enumeration.values))
        }
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
        UnsafeMutableRawPointer(fields).deallocate()
        UnsafeMutableRawPointer(slots).deallocate()
        keys.deallocate()
        nestedFields?.deallocate()
        rules?.deallocate()
        for (place, enumeration) in enumerations.enumerated() {
            quickEnumerations[place].values.deallocate()
            enumeration.names.deallocate()
        }
        quickEnumerations.deallocate()
        for tuple in tuples { tuple.names?.deallocate() }
        for object in objects { object.paths.deallocate() }
    }

    private static func fields(
        _ operations: UnsafeMutablePointer<FieldOperation>, _ count: Int, _ keys: KeyIndex, columns: Int
    ) -> UnsafeMutablePointer<sluice_field> {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: max(1, count) * MemoryLayout<sluice_field>.stride, alignment: 64)
        let fields = memory.bindMemory(to: sluice_field.self, capacity: max(1, count))
        for place in 0..<count {
            let name = place < columns ? keys.plainName(place) : nil
            (fields + place).initialize(to: operations[place].makeField(name, of: operations + place))
            operations[place].field = UnsafePointer(fields + place)
        }
        return fields
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

    /// The column that a key stands for; -1: none.
    func column(ofKey key: Int) -> Int {
        guard let rules, key >= rules.firstKey else { return key }
        return rules.column(ofKey: key)
    }

    func name(ofColumn place: Int32) -> String? {
        switch Int(place) {
        case 0..<columnCount: structure.columns[Int(place)].definition.name
        case columnCount..<columnCount + computedCount: structure.computedColumns[Int(place) - columnCount]
        default: nil
        }
    }
}
