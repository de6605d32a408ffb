// Unsafe by design: reads the runs of a complete block that nobody writes to; indices come from the rows of the nodes.

import ClickHouseNative

/// Finds what a block has that its types cannot have: whoever sent it may have written any bytes.
struct BlockCheck {
    struct Finding {
        let row: Int
        let column: Int
        let code: ParseFault.Code
    }

    private let block: Block
    private let layout: BlockLayout

    init(_ block: Block) {
        self.block = block
        layout = block.layout
    }

    /// Whether strings have their lengths in the shortest form, which everything that takes a block apart counts on.
    var isCanonical: Bool {
        layout.nodes.indices.allSatisfy { place in
            guard layout.nodes[place].kind == .string else { return true }
            let node = block.nodes[place]
            var values = ValueCursor(node.data, width: 0)
            var (rows, bytes) = (0, 0)
            while let value = values.next() {
                rows += 1
                bytes += max(1, (64 - value.count.leadingZeroBitCount + 6) / 7) + value.count
            }
            return rows == node.rows && bytes == node.data.count
        }
    }

    /// The first of each row, in their order.
    func findings() -> [Finding] {
        var found: [Int: Finding] = [:]
        for (column, root) in layout.roots.enumerated() {
            for (row, code) in bad(root) where found[row] == nil {
                found[row] = Finding(row: row, column: column, code: code)
            }
        }
        return found.values.sorted { $0.row < $1.row }
    }

    private typealias Bad = [(value: Int, code: ParseFault.Code)]

    /// Values of a node that are none of its type.
    private func bad(_ place: Int) -> Bad {
        let node = layout.nodes[place]
        switch node.kind {
        case .fixed: return badFixed(place)
        case .string:
            if case .dynamic = layout.types[place] { return badDynamics(place) }
            return badTexts(place)
        case .nullable:
            let map = block.nodes[place].data.bytes
            let flags: Bad = map.indices.filter { map[$0] > 1 }.map { ($0, .malformedRow) }
            // What lies below a NULL does not count.
            return flags + bad(node.child).filter { map[$0.value] == 0 }
        case .array:
            let inner = bad(node.child)
            guard !inner.isEmpty else { return [] }
            return inner.map { (row(of: $0.value, inArrays: block.nodes[place]), $0.code) }
        case .tuple: return layout.children(of: place).flatMap { bad($0) }
        case .variant:
            let numbers = block.nodes[place].data.bytes
            return layout.children(of: place).enumerated().flatMap { number, child -> Bad in
                let inner = bad(child)
                guard !inner.isEmpty else { return [] }
                let rows = numbers.indices.filter { numbers[$0] == UInt8(number) }
                return inner.map { (rows[$0.value], $0.code) }
            }
        case .lowCardinality:
            let isNullable = layout.types[place].isNullableDictionary
            let inner = bad(node.child).filter { !isNullable || $0.value > 0 }
            guard !inner.isEmpty else { return [] }
            let codes = Dictionary(inner.map { ($0.value, $0.code) }, uniquingKeysWith: { first, _ in first })
            let indexes = block.nodes[place]
            return (0..<indexes.rows).compactMap { row in
                codes[Int(indexes.data.load(UInt32.self, at: row * 4))].map { (row, $0) }
            }
        }
    }

    /// Values each of which has a type of its own.
    private func badDynamics(_ place: Int) -> Bad {
        var values = ValueCursor(block.nodes[place].data, width: 0)
        var (row, found) = (0, Bad())
        while let value = values.next() {
            if let code = badDynamic(value) { found.append((row, code)) }
            row += 1
        }
        return found
    }

    private func badDynamic(_ value: UnsafeRawBufferPointer) -> ParseFault.Code? {
        // Most types take whatever their bytes are.
        guard let name = DynamicValue.typeName(of: value),
            ["Bool", "Enum", "Decimal", "JSON"].contains(where: { name.contains($0) }),
            let block = DynamicValue.read(value)
        else { return nil }
        // Whether it is JSON that the server takes cannot be looked at there.
        if block.layout.columns[0].type.hasJSON { return .unreadType }
        return BlockCheck(block).findings().first?.code
    }

    /// JSON is looked at, and may be read, as a part of a line.
    private func badTexts(_ place: Int) -> Bad {
        guard case .json = layout.types[place] else { return [] }
        var values = ValueCursor(block.nodes[place].data, width: 0)
        var (row, found) = (0, Bad())
        while let value = values.next() {
            if value.contains(0x0A), JSONLine.hasBrokenString(value) { found.append((row, .lineBreakInJSON)) }
            row += 1
        }
        return found
    }

    /// The same rows with each text of JSON on one line; nil: they are.
    ///
    /// Only of a block without findings: in others a line break may be more than blank space.
    func withJSONOnOneLine() -> Block? {
        let texts = layout.nodes.indices.filter { place in
            if case .json = layout.types[place] { layout.nodes[place].kind == .string } else { false }
        }
        func hasBreak(_ place: Int) -> Bool {
            var values = ValueCursor(block.nodes[place].data, width: 0)
            while let value = values.next() {
                if value.contains(0x0A) { return true }
            }
            return false
        }
        guard texts.contains(where: hasBreak) else { return nil }
        let copy = block.gathering([0..<block.rows])
        for place in texts {
            var values = ValueCursor(copy.nodes[place].data, width: 0)
            while let value = values.next() { _ = JSONLine.joinLines(UnsafeMutableRawBufferPointer(mutating: value)) }
        }
        return copy
    }

    private func row(of element: Int, inArrays node: ColumnNode) -> Int {
        var (low, high) = (0, node.rows)
        while low < high {
            let middle = (low + high) / 2
            if node.data.load(UInt64.self, at: middle * 8) > UInt64(element) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    private func badFixed(_ place: Int) -> Bad {
        let run = block.nodes[place].data
        let rows = block.nodes[place].rows
        func those(_ code: ParseFault.Code, _ isBad: (Int) -> Bool) -> Bad {
            (0..<rows).filter(isBad).map { ($0, code) }
        }
        switch layout.types[place] {
        case .bool:
            let bytes = run.bytes
            return those(.notABool) { bytes[$0] > 1 }
        case .enum8(let members):
            var isMember = [Bool](repeating: false, count: 256)
            for member in members.members { isMember[Int(UInt8(truncatingIfNeeded: member.value))] = true }
            let bytes = run.bytes
            return those(.notAnEnumMember) { !isMember[Int(bytes[$0])] }
        case .enum16(let members):
            let values = Set(members.members.map(\.value))
            return those(.notAnEnumMember) { !values.contains(run.load(Int16.self, at: $0 * 2)) }
        case .decimal(let precision, _): return badDecimals(run, precision, those)
        default: return []
        }
    }

    private func badDecimals(
        _ run: ByteRun, _ precision: Int, _ those: (ParseFault.Code, (Int) -> Bool) -> Bad
    ) -> Bad {
        let bound = (0..<min(precision, 38)).reduce(Int128(1)) { value, _ in value * 10 }
        switch precision {
        case ...9: return those(.outOfRange) { Int128(run.load(Int32.self, at: $0 * 4).magnitude) >= bound }
        case ...18: return those(.outOfRange) { Int128(run.load(Int64.self, at: $0 * 8).magnitude) >= bound }
        case ...38:
            return those(.outOfRange) { run.load(Int128.self, at: $0 * 16).magnitude >= UInt128(bound) }
        default:
            // 10^precision, as two halves of 128 bits.
            var (low, high) = (UInt128(1), UInt128(0))
            for _ in 0..<precision {
                let (carry, part) = low.multipliedFullWidth(by: 10)
                (low, high) = (UInt128(part), high * 10 + UInt128(carry))
            }
            return those(.outOfRange) { row in
                var (less, more) = (run.load(UInt128.self, at: row * 32), run.load(UInt128.self, at: row * 32 + 16))
                if more >> 127 == 1 {
                    less = ~less &+ 1
                    more = ~more &+ (less == 0 ? 1 : 0)
                }
                return (more, less) >= (high, low)
            }
        }
    }
}
