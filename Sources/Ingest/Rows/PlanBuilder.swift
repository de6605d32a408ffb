// Unsafe by design: see FieldPlan; the plan holds the zones that operations point to.

import ClickHouseNative
import Pipeline

/// Makes the operations of a plan, and what they refer to.
struct PlanBuilder {
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
