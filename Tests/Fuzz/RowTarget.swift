import ClickHouseNative
import NIOCore
import Pipeline

@testable import Ingest

extension FuzzTarget {
    /// Kept for the life of the process: making them is what would take the time.
    nonisolated(unsafe) private static let readers: [RowReader] =
        [
            "UInt8", "Int64", "UInt256", "Float32", "Float64", "BFloat16", "Decimal(9, 2)", "Decimal(38, 10)",
            "Decimal(76, 20)", "Bool", "String", "FixedString(5)", "UUID", "IPv4", "IPv6", "Date", "Date32", "DateTime",
            "DateTime64(6, 'Europe/Berlin')", "Time", "Time64(3)", "Enum8('a' = 1, 'b b' = -2)", "Array(Array(Int16))",
            "Nullable(String)", "LowCardinality(Nullable(String))", "Tuple(a UInt8, b Array(String))",
            "Map(String, Array(Nullable(Int32)))", "Variant(UInt64, String, Array(Date))", "Dynamic",
            "JSON(t UInt8, s.d Array(Nullable(Int32)), SKIP k)", "Point", "MultiPolygon", "Nested(x UInt8, y String)",
        ].map { reader([("v", $0)]) } + [severalColumns(), checkedRows, redacted, filled, routed, otherSettings]

    /// Keys in any order, missing ones, unknown ones.
    private static func severalColumns(
        _ rules: (inout TableRules) -> Void = { _ in }, _ input: (inout ValidateSettings.Input) -> Void = { _ in }
    ) -> RowReader {
        reader(
            [
                ("id", "UInt64"), ("name", "String"), ("at", "DateTime64(3, 'UTC')"), ("tags", "Array(String)"),
                ("n.a", "Array(Int32)"),
            ], rules, input)
    }

    private static var checkedRows: RowReader {
        severalColumns { rules in
            rules.fields["id", default: FieldRules()].max = Literal("9", isPlain: true)
            rules.fields["name", default: FieldRules()].regex = "^[^x-z]*$"
            rules.fields["name"]?.length.charactersMax = 5
            rules.fields["name"]?.required = true
            rules.fields["at", default: FieldRules()].aliases = ["t", "when"]
            rules.unknownFields.action = .reject
        }
    }

    private static var redacted: RowReader {
        let columns = [
            ("hashed", "LowCardinality(Nullable(String))"), ("number", "UInt64"), ("masked", "String"), ("ip", "IPv6"),
            ("host", "String"), ("gone", "Array(UInt8)"),
        ]
        return reader(columns) { rules in
            func redact(_ column: String, _ method: RedactionRule.Method) {
                rules.fields[column, default: FieldRules()].redaction.method = method
                if method == .hash { rules.fields[column]?.redaction.key = Secret("0123456789abcdef") }
            }
            redact("hashed", .hash)
            redact("number", .hash)
            redact("masked", .mask)
            rules.fields["masked"]?.redaction.keepLast = 2
            redact("ip", .truncateIP)
            redact("host", .truncateIP)
            redact("gone", .drop)
        }
    }

    private static var filled: RowReader {
        reader([("a", "Nullable(Int16)"), ("b", "String"), ("c", "LowCardinality(FixedString(2))"), ("rest", "JSON")]) {
            rules in
            rules.fields["a", default: FieldRules()].fallback = Literal("7", isPlain: true)
            rules.fields["b", default: FieldRules()].constant = Literal("x", isPlain: true)
            rules.fields["c", default: FieldRules()].oneOf = ["DE", "FR", ""].map { Literal($0, isPlain: true) }
            rules.unknownFields.action = .collect
            rules.unknownFields.column = "rest"
            rules.unknownFields.bytesMax = 100
        }
    }

    /// Each row is walked over first; half of them are not kept.
    private static var routed: RowReader {
        severalColumns { rules in
            rules.route.field = "kind"
            rules.route.tables = ["u": "u"]
            rules.route.patterns = ["v*"]
            rules.route.otherwise = .keep
            rules.sample.keepOneIn = 2
            rules.sample.by = "name"
        }
    }

    private static var otherSettings: RowReader {
        severalColumns({ _ in }) { input in
            input.dateTimeInputFormat = .basic
            input.nullAsDefault = false
            input.importNestedJSON = true
            input.readNumbersAsStrings = false
            input.readObjectsAsStrings = false
        }
    }

    static func reader(
        _ columns: [(String, String)], _ rules: (inout TableRules) -> Void = { _ in },
        _ input: (inout ValidateSettings.Input) -> Void = { _ in }
    ) -> RowReader {
        var settings = ValidateSettings()
        input(&settings.input)
        var asked = TableRules()
        rules(&asked)
        if asked != TableRules() { settings.rules["t"] = asked }
        do {
            let structure = TableStructure(
                columns: try columns.map {
                    .init(ColumnDefinition(name: $0.0, type: try DataType(parsing: $0.1)), defaultValue: .type)
                }, computedColumns: [])
            return try RowReader(table: TableName(table: "t"), structure: structure, settings: settings, seed: 1) { 0 }
        } catch {
            fatalError("\(columns): \(error)")
        }
    }

    /// The first byte picks the table.
    static func rows(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let number = Int(first) % readers.count
        let reader = readers[number]
        let rejections = reader.read(buffer(bytes.dropFirst(), newline: true))
        let blocks = reader.takeBlocks()
        for block in blocks { hold(block) }
        if number == severalColumnsNumber { rows(bytes, are: blocks, rejections, reader) }
        reader.recycle(blocks)
        _ = reader.takeSampledRows()
    }

    /// Of the readers.
    private static let severalColumnsNumber = 33
    private static let disordered: [UInt8] = {
        var lines = ""
        var fields = [#""id":1"#, #""name":"x""#, #""at":5"#, #""tags":["y"]"#, #""n.a":[2]"#]
        for number in 0..<24 {
            fields.swapAt(number * 7 % 5, (number + 2) % 5)
            fields.append(fields.removeFirst())
            if number % 3 == 0 { fields.reverse() }
            lines += "{" + fields.joined(separator: ",") + "}\n"
        }
        return Array(lines.utf8)
    }()

    /// Rows are the same behind others whose keys come in no order, after which they are read in another way.
    private static func rows(
        _ bytes: UnsafeRawBufferPointer, are expected: [Block], _ rejections: [Rejection], _ reader: RowReader
    ) {
        let filler = "{\"name\":\"" + String(repeating: "z", count: 200) + "\"}"
        let again = reader.read(buffer(disordered + bytes.dropFirst() + [0x0A] + Array(filler.utf8), newline: true))
        let blocks = reader.takeBlocks()
        require(again.map(\.bytes) == rejections.map(\.bytes), "other rows are rejected in no order")
        require(again.map(\.reason) == rejections.map(\.reason), "they are rejected for other reasons")
        func printed(_ blocks: [Block]) -> [Substring] {
            var text = ByteBuffer()
            for block in blocks { try? RowPrinter.print(block, into: &text) }
            return String(buffer: text).split(separator: "\n")
        }
        require(Array(printed(blocks).dropFirst(24).dropLast()) == printed(expected), "rows are others in no order")
        reader.recycle(blocks)
    }

    private static let redactor: RowRedactor = {
        var rules = TableRules()
        rules.fields["mail", default: FieldRules()].redaction.method = .mask
        rules.fields["mail"]?.aliases = ["Post"]
        rules.fields["n.b", default: FieldRules()].redaction.method = .drop
        var settings = ValidateSettings()
        settings.rules["t"] = rules
        let redactor = RowRedactor()
        redactor.reconfigure(settings)
        return redactor
    }()
    private static let hidden: Set<String> = ["mail", "post", "n.b", "n"]

    static func letters(_ bytes: UnsafeRawBufferPointer) {
        let line = bytes.prefix { $0 != 0x0A }
        let rejection = Rejection(
            table: TableName(table: "t"), reason: .malformedJSON, message: "", session: 0, bytes: buffer(line))
        var kept = redactor.redacted(rejection)
        require(kept.isRedacted || kept.bytes == rejection.bytes, "changed, and does not say so")
        kept.bytes.writeInteger(UInt8(0x0A))
        var name = ByteRun()
        defer { name.deallocate() }
        kept.bytes.withUnsafeReadableBytes { raw in
            guard let base = raw.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
            var cursor = LineCursor(base, end: base + raw.count)
            cursor.skipSpace()
            try? cursor.forEachField(scratch: &name, depthMax: 64) { name, value in
                var value = value
                let isHidden = hidden.contains(String(decoding: name, as: UTF8.self).lowercased())
                require(!isHidden || value.takeWord("null"), "a redacted value is kept")
                return true
            }
        }
    }
}
