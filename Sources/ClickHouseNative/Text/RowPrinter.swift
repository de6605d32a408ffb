// Unsafe by design: reads the runs of a block that nobody writes to any more. Every take is compared with what the run
// has left first, so that a block which contradicts itself stops the program and reads nothing foreign.

import NIOCore

/// Prints the rows of a block as newline-delimited JSON, byte for byte as ClickHouse 26.9 prints them with
/// `FORMAT JSONEachRow` and default settings: 64-bit integers and decimals as bare numbers, enums by name, dates and times
/// as text in the column's zone, what no JSON number can be (nan, inf) as null.
///
/// Where ClickHouse fails the query, as for an enum's value that has no name, the bare number is printed.
public struct RowPrinter {
    private let block: Block
    private let nodes: [BlockLayout.Node]
    private let forms: [ValueForm]
    /// What comes before each column's value: brace or comma, name, colon.
    private let keys: [[UInt8]]
    /// Bytes taken so far from each node's run.
    private var offsets: [Int]
    /// Array nodes: elements that earlier rows had.
    private var elements: [UInt64]
    /// Low-cardinality nodes: where each distinct value lies in the child's run.
    private let dictionaries: [Int: [Range<Int>]]
    /// Rows printed so far.
    public private(set) var row = 0

    /// - Parameters:
    ///   - timeZone: in which times of types without a zone of their own are shown: the server's.
    /// - Throws: when a zone is not known.
    public init(_ block: Block, timeZone: String = "UTC") throws(TimeZoneError) {
        self.block = block
        let layout = block.layout
        nodes = layout.nodes
        var forms: [ValueForm] = []
        for type in layout.types { forms.append(try ValueForm(type, timeZone: timeZone)) }
        self.forms = forms
        keys = layout.columns.enumerated().map { number, column in
            var key = [number == 0 ? UInt8(ascii: "{") : UInt8(ascii: ",")]
            key.append(quoted: column.name)
            key.append(UInt8(ascii: ":"))
            return key
        }
        offsets = Array(repeating: 0, count: nodes.count)
        elements = Array(repeating: 0, count: nodes.count)
        var dictionaries: [Int: [Range<Int>]] = [:]
        for (place, node) in layout.nodes.enumerated() where node.kind == .lowCardinality {
            dictionaries[place] = Self.ranges(of: block.nodes[node.child], layout.nodes[node.child])
        }
        self.dictionaries = dictionaries
    }

    /// Appends the next row and a line break; false when all are printed.
    public mutating func appendRow(to out: inout [UInt8]) -> Bool {
        guard row < block.rows, !keys.isEmpty else { return false }
        for (column, root) in block.layout.roots.enumerated() {
            out.append(contentsOf: keys[column])
            appendValue(of: root, to: &out)
        }
        out.append(text: "}\n")
        row += 1
        return true
    }

    /// Appends all rows of a block.
    public static func print(_ block: Block, timeZone: String = "UTC", into buffer: inout ByteBuffer)
        throws(TimeZoneError)
    {
        var printer = try RowPrinter(block, timeZone: timeZone)
        var line: [UInt8] = []
        while printer.appendRow(to: &line) {
            guard line.count >= 64 << 10 else { continue }
            buffer.writeBytes(line)
            line.removeAll(keepingCapacity: true)
        }
        buffer.writeBytes(line)
    }

    private mutating func appendValue(of place: Int, to out: inout [UInt8], as style: ValueStyle = .json) {
        let node = nodes[place]
        switch node.kind {
        case .fixed:
            let value = take(node.width, from: place)
            if case .parts = forms[place] {
                // A tuple without elements.
                return style == .json ? out.append(text: "[]") : out.append(text: "()")
            }
            forms[place].append(value, to: &out, as: style)
        case .string:
            let value = takeString(from: place)
            switch forms[place] {
            case .json: out.append(contentsOf: value)
            case .dynamic(let timeZone): appendDynamic(value, timeZone: timeZone, to: &out, as: style)
            default: out.append(value, as: style)
            }
        case .nullable:
            if take(1, from: place)[0] == 0 {
                appendValue(of: node.child, to: &out, as: style)
            } else {
                appendNull(to: &out, as: style)
                skipValue(of: node.child)
            }
        case .array: appendArray(of: place, to: &out, as: style)
        case .lowCardinality:
            let index = Int(take(4, from: place).loadUnaligned(as: UInt32.self))
            if index == 0, case .nullable = forms[place] { return appendNull(to: &out, as: style) }
            guard let ranges = dictionaries[place] else { return appendNull(to: &out, as: style) }
            let value = UnsafeRawBufferPointer(rebasing: block.nodes[node.child].data.bytes[ranges[index]])
            if nodes[node.child].kind == .string {
                out.append(value, as: style)
            } else {
                forms[node.child].append(value, to: &out, as: style)
            }
        case .tuple: appendTuple(of: place, to: &out, as: style)
        case .variant:
            let children = block.layout.children(of: place)
            let alternative = Int(take(1, from: place)[0])
            guard alternative < children.count else { return appendNull(to: &out, as: style) }
            appendValue(of: children[alternative], to: &out, as: style)
        }
    }

    private func appendDynamic(
        _ value: UnsafeRawBufferPointer, timeZone: String, to out: inout [UInt8], as style: ValueStyle
    ) {
        guard let block = DynamicValue.read(value), var printer = try? RowPrinter(block, timeZone: timeZone) else {
            return appendNull(to: &out, as: style)
        }
        printer.appendValue(of: 0, to: &out, as: style)
    }

    private func appendNull(to out: inout [UInt8], as style: ValueStyle) {
        style == .json ? out.append(text: "null") : out.append(text: "NULL")
    }

    private mutating func appendArray(of place: Int, to out: inout [UInt8], as style: ValueStyle) {
        let isMap = if case .map = forms[place] { true } else { false }
        let end = take(8, from: place).loadUnaligned(as: UInt64.self)
        let child = nodes[place].child
        let first = elements[place]
        let inner: ValueStyle = style == .json ? .json : .sql
        out.append(isMap ? UInt8(ascii: "{") : UInt8(ascii: "["))
        while elements[place] < end {
            if elements[place] > first { out.append(UInt8(ascii: ",")) }
            elements[place] += 1
            if isMap {
                appendEntry(of: child, to: &out, as: inner)
            } else {
                appendValue(of: child, to: &out, as: inner)
            }
        }
        out.append(isMap ? UInt8(ascii: "}") : UInt8(ascii: "]"))
    }

    /// A key, which in JSON is always text, and its value.
    private mutating func appendEntry(of tuple: Int, to out: inout [UInt8], as style: ValueStyle) {
        let key = nodes[tuple].child
        if style == .json {
            var text: [UInt8] = []
            appendValue(of: key, to: &text, as: .text)
            text.withUnsafeBytes { out.append(quoted: $0) }
        } else {
            appendValue(of: key, to: &out, as: style)
        }
        out.append(UInt8(ascii: ":"))
        appendValue(of: block.layout.ends[key], to: &out, as: style)
    }

    private mutating func appendTuple(of place: Int, to out: inout [UInt8], as style: ValueStyle) {
        var names: [[UInt8]]?
        if style == .json, case .named(let given) = forms[place] { names = given }
        let brackets: (StaticString, StaticString) =
            style != .json ? ("(", ")") : names == nil ? ("[", "]") : ("{", "}")
        out.append(text: brackets.0)
        for (number, child) in block.layout.children(of: place).enumerated() {
            if number > 0 { out.append(UInt8(ascii: ",")) }
            if let names { out.append(contentsOf: names[number]) }
            appendValue(of: child, to: &out, as: style == .json ? .json : .sql)
        }
        out.append(text: brackets.1)
    }

    /// Moves over the value that lies below a NULL.
    private mutating func skipValue(of place: Int) {
        var text: [UInt8] = []
        if nodes[place].kind == .string {
            _ = takeString(from: place)
        } else if nodes[place].kind == .fixed {
            _ = take(nodes[place].width, from: place)
        } else {
            appendValue(of: place, to: &text)
        }
    }

    private mutating func take(_ length: Int, from place: Int) -> UnsafeRawBufferPointer {
        let run = block.nodes[place].data
        let start = offsets[place]
        precondition(length <= run.count - start, "a column ends before its block")
        offsets[place] = start + length
        return UnsafeRawBufferPointer(rebasing: run.bytes[start..<start + length])
    }

    private mutating func takeString(from place: Int) -> UnsafeRawBufferPointer {
        let run = block.nodes[place].data
        let range = Self.string(in: run, at: offsets[place])
        offsets[place] = range.upperBound
        return UnsafeRawBufferPointer(rebasing: run.bytes[range])
    }

    /// Where the bytes of the string lie whose length stands at an offset.
    private static func string(in run: ByteRun, at offset: Int) -> Range<Int> {
        var start = offset
        var length: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = run.load(UInt8.self, at: start)
            start += 1
            length |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { break }
            shift += 7
        }
        precondition(length <= UInt64(run.count - start), "a column ends before its block")
        return start..<start + Int(length)
    }

    private static func ranges(of child: ColumnNode, _ node: BlockLayout.Node) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        ranges.reserveCapacity(child.rows)
        var offset = 0
        for _ in 0..<child.rows {
            let range = node.kind == .string ? string(in: child.data, at: offset) : offset..<offset + node.width
            ranges.append(range)
            offset = range.upperBound
        }
        return ranges
    }
}
