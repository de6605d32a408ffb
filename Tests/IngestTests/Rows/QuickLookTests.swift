import Testing

/// Keys and values of the usual shape are read in one go, but near the end of the input, and all others with care. Nobody
/// may see a difference.
struct QuickLookTests {
    private static let texts: [String] = {
        var texts: [String] = []
        for length in [0, 1, 7, 8, 9, 14, 15, 16, 17, 31, 32, 126, 127, 128, 129, 1000, 1023, 1024, 1025, 3000] {
            texts.append("\"" + String(repeating: "a", count: length) + "\"")
        }
        let escapes = [#"\""#, #"\\"#, #"\n"#, #"\/"#, #"\u0041"#, #"\u00e9"#, #"\u20AC"#, #"\ud83d\ude00"#, #"\x"#]
        for length in [0, 1, 14, 15, 16, 30, 120, 125, 126, 127, 128, 1000, 1022, 1023, 1024] {
            let filling = String(repeating: "b", count: length)
            for escape in escapes {
                texts.append("\"\(filling)\(escape)\"")
                texts.append("\"\(escape)\(filling)\"")
                texts.append("\"\(filling)\(escape)\(escape)\(filling)\"")
            }
        }
        texts += [
            #""\u0000""#, #""a\u0000""#, #""a""#, "\"a\tb\"", "\"\u{1F}\"", #""ä€😀""#, #""\ud800""#, #""\udc00""#,
        ]
        texts += [#""\u12G4""#, #""\u12"#, #""open"#, #""open\"#, #"'a'"#, "a", "12", "-1.5e3", "true", "null", "[]"]
        texts += [#"[1,"a",{"b":[]}]"#, #"{"a":1}"#, "[1", "{", #""a"b"#, #""a","#]
        return texts
    }()

    private static func signed(_ signs: [String], _ numbers: [String]) -> [String] {
        var all: [String] = []
        for sign in signs {
            for number in numbers { all += [sign + number, "\"\(sign)\(number)\""] }
        }
        return all
    }

    private static let integers: [String] =
        signed(
            ["", "-", "+"],
            [
                "0", "1", "7", "007", "127", "128", "129", "255", "256", "32767", "32768", "32769", "65535", "65536",
                "1234567", "12345678", "123456789", "2147483647", "2147483648", "4294967295", "4294967296",
                "123456789012345", "1234567890123456", "12345678901234567", "9223372036854775807",
                "9223372036854775808", "18446744073709551615", "18446744073709551616", "000000000000000000000001",
            ])
        + [
            "true", "false", "1.0", "1e3", "1 ", "1x", "x", "", "-", "--1", "\"\"", "\"1", "null", "[1]", "1:", "1/",
        ]

    private static let numbers: [String] =
        integers
        + signed(
            ["", "-"],
            [
                "0.0", "0.5", "1.", ".5", "1.25", "3.14159265", "3.141592653", "12345678.12345678", "90071992.54740992",
                "90071992.54740993", "99999999.99999999", "123456789.5", "0.00000001", "0.000000001", "1.5e10", "1e-7",
                "99999.99", "9999999.99", "99999999999999.9999", "12.3456", "12.34567", "1.5.2", "1.5x", "1.x", "inf",
                "nan",
            ])

    private static let uuids: [String] = {
        var uuids = [
            #""61f0c404-5cb3-11e7-907b-a6006ad3dba0""#, #""61F0C404-5CB3-11E7-907B-A6006AD3DBA0""#,
            #""61f0c4045cb311e7907ba6006ad3dba0""#, #""00000000-0000-0000-0000-000000000000""#,
            #""ffffffff-ffff-ffff-FFFF-FFFFFFFFFFFF""#, #""61f0c404-5cb3-11e7-907b-a6006ad3dba""#,
            #""61f0c404-5cb3-11e7-907b-a6006ad3dba00""#, #""61f0c404 5cb3-11e7-907b-a6006ad3dba0""#, "null", "1",
            "\"\"",
        ]
        for wrong in "/:@G`g-\u{7F}é" { uuids.append("\"61f0c404-5cb3-11e7-907b-a6006ad3db\(wrong)0\"") }
        return uuids
    }()

    private static let times: [String] = {
        var times = ["0", "1709210096", "1709210096.5", "\"1709210096\"", "null", "true", "\"\"", "\"now\""]
        for time in [
            "2024-02-29 12:34:56", "2024-02-29T12:34:56", "2024-02-29t12:34:56", "2023-02-29 12:34:56",
            "2024-02-30 00:00:00",
            "2024-00-10 00:00:00", "2024-13-10 00:00:00", "2024-01-00 00:00:00", "2024-01-32 00:00:00",
            "0000-01-01 00:00:00",
            "0001-01-01 00:00:00", "1899-12-31 23:59:59", "1900-01-01 00:00:00", "1969-12-31 23:59:59",
            "1970-01-01 00:00:00", "2106-02-07 06:28:15", "2106-02-07 06:28:16", "2299-12-31 23:59:59",
            "2300-01-01 00:00:00", "9999-12-31 23:59:59", "2024-03-31 02:30:00", "2024-10-27 02:30:00",
            "2024-02-29 24:00:00", "2024-02-29 23:60:00", "2024-02-29 23:59:60", "2024-02-29 1:34:56",
            "2024-02-29 12-34-56", "2024-02-29 12:34", "2024-02-29", "2024/02/29 12:34:56", "20240229 123456",
        ] {
            for end in [
                "", ".", ".1", ".12", ".123", ".1234", ".123456", ".12345678", ".123456789", ".1234567891", ".x", "Z",
                "+02:00", " ",
            ] { times.append("\"\(time)\(end)\"") }
        }
        return times
    }()

    private static let members: [String] = [
        "\"a\"", "\"b\"", "\"fifteen_letters\"", "\"sixteen_letters_\"", "\"é\"", "\"\\u0061\"", "\"A\"", "\"\"",
        "\"a \"",
        "1", "-2", "300", "4", "\"1\"", "true", "null", "a",
    ]

    private static let bools: [String] = [
        "true", "false", "1", "0", "2", "tru", "fals", "truex", "falsex", "True", "\"true\"", "null", "10",
    ]

    private static let members8 = "Enum8('a' = 1, 'b' = -2, 'fifteen_letters' = 3, 'sixteen_letters_' = 4, 'é' = 5)"
    private static let members16 = "Enum16('a' = 1, 'b' = -2, 'fifteen_letters' = 300, 'sixteen_letters_' = 4, 'é' = 5)"

    /// Types, and what is written for them.
    static let cases: [(type: String, values: [String])] = {
        var cases: [(type: String, values: [String])] = []
        func add(_ values: [String], _ types: String...) { for type in types { cases.append((type, values)) } }
        add(integers, "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Nullable(Int32)")
        add(numbers, "Float64", "Float32", "Decimal(9, 2)", "Decimal(18, 4)", "Decimal(18, 9)", "Decimal(18, 10)")
        add(numbers, "Nullable(Decimal(9, 2))", "Nullable(Float64)")
        add(texts, "String", "Nullable(String)", "LowCardinality(String)", "LowCardinality(Nullable(String))")
        add(texts, "FixedString(3)", "FixedString(15)", "FixedString(16)")
        add(times, "DateTime", "DateTime('America/New_York')", "DateTime64(0)", "DateTime64(3)", "DateTime64(9)")
        add(times, "DateTime64(3, 'Europe/Berlin')", "DateTime64(9, 'Asia/Tokyo')", "Nullable(DateTime64(3))")
        add(uuids, "UUID", "Nullable(UUID)")
        add(bools, "Bool", "Nullable(Bool)")
        add(members, members8, members16)
        return cases
    }()

    @Test("A value is the same in the middle of the input and at its end", arguments: cases)
    func values(type: String, values: [String]) throws {
        // Long enough that no value before it is near the end, and a row of defaults.
        let rest = #"{"unknown":"\#(String(repeating: "x", count: 100))"}"#
        for basic in type.contains("DateTime") ? [false, true] : [false] {
            var fixture = try RowFixture(type: type)
            fixture.now = 1_700_000_000
            if basic { fixture.settings.input.dateTimeInputFormat = .basic }
            let defaults = try fixture.read([rest]).rows
            for value in values {
                let row = #"{"v":\#(value)}"#
                let atEnd = try fixture.read([row])
                // The first value makes room, the others find it.
                let inMiddle = try fixture.read([row, row, row, rest])
                let thrice = { (once: [String]) in once + once + once }
                #expect(inMiddle.rows == thrice(atEnd.rows) + defaults, "\(type): \(value)")
                #expect(inMiddle.refusals == thrice(atEnd.refusals), "\(type): \(value)")
            }
        }
    }

    /// Of any length, at the borders of what is compared at once, and such as JSON writes with escapes.
    private static let names: [String] = {
        var names = ["quote\"", "back\\", "tab\t", "\"", "\\", "é", "long enough to be compared twice \" and a quote"]
        for length in [1, 2, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18, 31, 32, 33, 60] {
            for last in ["x", "y"] { names.append(String(repeating: "k", count: length - 1) + last) }
        }
        return names
    }()

    private static func key(_ name: String) -> String {
        "\"" + name.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\t", with: "\\t") + "\""
    }

    @Test(
        "A key is found in any order, with blank space and without",
        arguments: ["", " ", "  \t", "                    "])
    func keys(blank: String) throws {
        let fixture = try RowFixture(Self.names.map { ($0, "UInt32", nil) })
        let all = Array(Self.names.enumerated())
        var expected: [[UInt32]] = []
        var lines: [String] = []
        func add(_ fields: [(offset: Int, element: String)]) {
            var values = [UInt32](repeating: 0, count: all.count)
            for field in fields { values[field.offset] = UInt32(1000 + field.offset) }
            expected.append(values)
            let members = fields.map { "\(Self.key($0.element))\(blank):\(blank)\(1000 + $0.offset)" }
            lines.append("{" + blank + members.joined(separator: blank + "," + blank) + blank + "}")
        }
        for round in 0..<4 {
            add(all)
            // Each leaves others out, and looks for the next ones further ahead.
            for step in 2..<9 { add(all.filter { $0.offset % step == round % step }) }
            add(all.reversed())
            for step in [3, 7, 11] { add((0..<all.count).map { all[($0 * step + round) % all.count] }) }
        }
        let outcome = try fixture.read(lines)
        #expect(outcome.refusals == [])
        let printed = expected.map { values in
            "{" + zip(Self.names, values).map { "\(Self.key($0))" + ":" + "\($1)" }.joined(separator: ",") + "}"
        }
        #expect(outcome.rows == printed)
    }

    @Test("A key that only begins like a column's is unknown")
    func likeAKey() throws {
        let fixture = try RowFixture(Self.names.map { ($0, "UInt32", nil) })
        let defaults = try fixture.read(["{}"]).rows
        for name in Self.names {
            let others = [name + "z", String(name.dropLast()), name + " ", name + "\u{0}"].filter {
                !Self.names.contains($0)
            }
            for other in others {
                let key = Self.key(other).replacing("\u{0}", with: "\\u0000")
                let lines = ["{\(Self.key(name)):0,\(key):1}", "{\(key):1,\(Self.key(name)):0}", "{\(key):1}"]
                let outcome = try fixture.read(lines + lines)
                #expect(outcome.refusals == [], "\(other)")
                #expect(outcome.rows == (0..<6).flatMap { _ in defaults }, "\(other)")
            }
        }
    }

    /// Rows short enough to lie near the end of the input as a whole, with keys in the table's order and in another, and a key too long to be
    /// compared at once.
    private static let shortRows = [
        #"{"a":1,"bb":"x","long enough to ask":2,"d":null}"#,
        #"{"d":3,"long enough to ask":4,"a":5,"bb":"y"}"#,
        #"{ "a" : 1, "bb": "x" ,"long enough to ask" :2,\#t"d":3 }"#,
        #"{"bb"  :"",  "d" : -1 , "a":2}"#,
    ]

    @Test("A row with one wrong character is the same in the middle of the input and at its end", arguments: shortRows)
    func wrongCharacters(row: String) throws {
        let fixture = try RowFixture(
            ["a", "bb", "long enough to ask", "d"].map { ($0, $0 == "bb" ? "String" : "Int32", nil) })
        let filler = #"{"unknown":"\#(String(repeating: "x", count: 100))"}"#
        var wrong: Set<String> = []
        for place in row.indices {
            let rest = row[row.index(after: place)...]
            for other in ["", "\"", ",", ":", " ", "\t", "x", "0", "{", "}", "\\", "\u{1}", "\u{0}"] {
                wrong.insert(row[..<place] + other + rest)
                wrong.insert(row[..<place] + other + row[place...])
            }
        }
        var (lines, rows, refusals): ([String], [String], [String]) = ([], [], [])
        for line in wrong.sorted() {
            let atEnd = try fixture.read([row, line])
            rows += atEnd.rows
            refusals += atEnd.refusals
            lines += [row, line, filler]
        }
        let defaults = try fixture.read([filler]).rows
        let inMiddle = try fixture.read(lines)
        #expect(inMiddle.refusals == refusals)
        #expect(inMiddle.rows.filter { !defaults.contains($0) } == rows.filter { !defaults.contains($0) })
    }

    @Test("A comma that is missing is missed where blank space is usual, too")
    func missingCommas() throws {
        let fixture = try RowFixture([("a", "String", nil), ("b", "Array(UInt8)", nil)])
        let filler = #"{ "unknown" : "\#(String(repeating: "x", count: 100))" }"#
        for line in [#"{ "a" : "x""b" : [] }"#, #"{ "b" : [1]"a" : "x" }"#] {
            let outcome = try fixture.read([filler, filler, line, filler])
            #expect(outcome.rows.count == 3)
            #expect(outcome.refusals == ["malformed_json"], "\(line)")
        }
    }

    @Test("Rows of a steady order are the same whatever that is, and when it changes")
    func orders() throws {
        let names = (0..<20).map { "key\($0)" }
        let fixture = try RowFixture(names.map { ($0, "UInt32", nil) })
        var lines: [String] = []
        var expected: [String] = []
        for (number, order) in [names, names.reversed(), names, names.filter { $0 != "key7" }].enumerated() {
            for row in 0..<10 {
                let value = number * 100 + row
                for mark in [":", ": "] {
                    lines.append("{" + order.map { "\"\($0)\"\(mark)\(value)" }.joined(separator: ",") + "}")
                    expected.append(
                        "{" + names.map { "\"\($0)\":\(order.contains($0) ? value : 0)" }.joined(separator: ",") + "}")
                }
            }
        }
        let outcome = try fixture.read(lines)
        #expect(outcome.refusals == [])
        #expect(outcome.rows == expected)
    }
}
