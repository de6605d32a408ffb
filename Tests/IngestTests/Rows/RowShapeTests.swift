import ClickHouseNative
import Ingest
import NIOCore
import Pipeline
import TestSupport
import Testing

/// What a row may look like as a whole: keys, omissions, nulls, and what stands around it.
@Suite struct RowShapeTests {
    private func outcome(
        _ columns: [(name: String, type: String, expression: String?)], computed: [String] = [], _ lines: [String],
        _ change: (inout ValidateSettings) -> Void = { _ in }
    ) throws -> RowFixture.Outcome {
        var fixture = try RowFixture(columns, computed: computed)
        change(&fixture.settings)
        return try fixture.read(lines)
    }

    private static let ab: [(name: String, type: String, expression: String?)] = [
        ("a", "UInt8", nil), ("b", "Nullable(String)", nil),
    ]

    @Test func spaceStandsWhereItMayAndBlankLinesAreNoRows() throws {
        let outcome = try outcome(
            Self.ab,
            ["", " \t\r", "\t { \"a\" : 1 , \"b\"\t:\r\"x\" } \r", "{}", "{ }", #"{"b":null}"#])
        #expect(
            outcome.rows == [
                #"{"a":1,"b":"x"}"#, #"{"a":0,"b":null}"#, #"{"a":0,"b":null}"#, #"{"a":0,"b":null}"#,
            ])
        #expect(outcome.rejections.isEmpty)
    }

    @Test(
        arguments: [
            ("[1]", "malformed_json"), ("null", "malformed_json"), ("1", "malformed_json"), (#""x""#, "malformed_json"),
            (#"{"a":1"#, "malformed_json"), (#"{"a":1,}"#, "malformed_json"), (#"{,"a":1}"#, "malformed_json"),
            (#"{"a":1}{"a":2}"#, "malformed_json"), (#"{"a":1} ;"#, "malformed_json"), (#"{"a" 1}"#, "malformed_json"),
            (#"{a:1}"#, "malformed_json"), (#"{'a':1}"#, "malformed_json"), (#"{"a":1,,"b":"x"}"#, "malformed_json"),
            (#"{"a":1 "b":"x"}"#, "malformed_json"), (#"{"a":1,"a":1}"#, "duplicate_key a"),
            (#"{"a":1,"\u0061":1}"#, "duplicate_key a"), (#"{"a":null,"a":1}"#, "duplicate_key a"),
            (#"{"b":"x","a":2,"b":null}"#, "duplicate_key b"), (#"{"x":{"y":[1,2}}"#, "malformed_json"),
            (#"{"x":nope}"#, "malformed_json"), (#"{"x":"#, "malformed_json"), (#"{"x"#, "malformed_json"),
            ("{\"x\\", "malformed_json"), ("\u{FEFF}{\"a\":1}", "malformed_json"),
        ])
    func whatIsNoRowIsRefusedAlone(line: String, refusal: String) throws {
        let outcome = try outcome(Self.ab, [#"{"a":7}"#, line, #"{"a":8}"#])
        #expect(outcome.rows == [#"{"a":7,"b":null}"#, #"{"a":8,"b":null}"#])
        #expect(outcome.refusals == [refusal])
        #expect(outcome.rejections.map { String(buffer: $0.bytes) } == [line])
    }

    /// As 26.9 has it: paths of values are one kind of names, objects another.
    @Test func anObjectAndAValueOfAJSONColumnMayHaveOneName() throws {
        let good = [#"{"a":{},"a":1}"#, #"{"a":1,"a":{"b":1}}"#, #"{"a":{"b":1},"a":1}"#, #"{"x":{"a":{},"a":1}}"#]
        let bad = [
            #"{"a":1,"a":2}"#, #"{"a":{},"a":{}}"#, #"{"a":{"b":1},"a":{"c":1}}"#, #"{"x":{"a":{"b":1,"b":2}}}"#,
        ]
        let outcome = try outcome([("j", "JSON", nil)], (good + bad).map { "{\"j\":\($0)}" })
        #expect(outcome.rows.count == good.count)
        #expect(outcome.rejections.map { String(buffer: $0.bytes) } == bad.map { "{\"j\":\($0)}" })
    }

    /// As 26.9 has it, which takes a Bool of another name for a UInt8 when it orders a Variant's types.
    @Test func aVariantTriesABoolOfAnotherNameAsAnInteger() throws {
        let any = "SimpleAggregateFunction(any, Bool)"
        let ordered = try outcome(
            [("v", "Variant(Map(UInt256, \(any)), Tuple(b Int16, c UInt128))", nil)], [#"{"v":{}}"#])
        #expect(ordered.rows == [#"{"v":{"b":0,"c":0}}"#])
        let bools = try outcome([("v", "Variant(Int8, \(any), String)", nil)], [#"{"v":false}"#]) {
            $0.input.readBoolsAsNumbers = false
        }
        #expect(bools.rows == [#"{"v":0}"#])
    }

    @Test func unknownFieldsOfAnyShapeAreSkippedUnlessTheStageFileForbidsThem() throws {
        let lines = [
            #"{"x":{"y":[1,{"z":null}],"s":"}"},"a":1,"w":-1.5e3,"v":"\"","u":[],"t":{},"k":true,"":0}"#,
            #"{"a":2}"#,
        ]
        #expect(try outcome(Self.ab, lines).rows == [#"{"a":1,"b":null}"#, #"{"a":2,"b":null}"#])
        let strict = try outcome(Self.ab, lines) { $0.input.skipUnknownFields = false }
        #expect(strict.rows == [#"{"a":2,"b":null}"#])
        #expect(strict.refusals == ["unknown_field"])
    }

    @Test func nullStandsForTheDefaultUnlessTheStageFileForbidsIt() throws {
        let columns: [(name: String, type: String, expression: String?)] = [
            ("a", "UInt8", nil), ("n", "Nullable(UInt8)", nil), ("l", "Array(UInt8)", nil),
            ("c", "LowCardinality(String)", nil), ("e", "Enum8('x' = 3, 'y' = 1)", nil), ("d", "UInt8", "a + 1"),
        ]
        let lines = [
            #"{"a":null,"d":1}"#, #"{"n":null,"d":1}"#, #"{"l":null,"d":1}"#, #"{"l":[1,null],"d":1}"#,
            #"{"c":null,"d":1}"#, #"{"e":null,"d":1}"#, #"{"d":null}"#, #"{"a":5}"#, #"{"d":null}"#,
        ]
        let lax = try outcome(columns, lines)
        let whole = #"{"a":0,"n":null,"l":[],"c":"","e":"y","d":1}"#
        #expect(lax.rejections.isEmpty)
        #expect(
            lax.rows.filter { $0.contains("\"d\"") } == [
                whole, whole, whole, whole.replacing("[]", with: "[1,0]"), whole, whole,
            ])
        // A null for what the server computes is an omission: it computes.
        #expect(lax.rows.filter { !$0.contains("\"d\"") }.count == 3)

        let strict = try outcome(columns, lines) { $0.input.nullAsDefault = false }
        #expect(
            strict.refusals == [
                "null_not_allowed a", "null_not_allowed l", "null_not_allowed l", "null_not_allowed c",
                "null_not_allowed e", "null_not_allowed d", "null_not_allowed d",
            ])
        #expect(strict.rows.count == 2)
    }

    @Test func valuesAreNestedAsDeepAsDepthMaxAndNoDeeper() throws {
        func row(_ depth: Int) -> String {
            #"{"x":"# + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}"
        }
        let lines = [row(5), row(6), row(7), row(100_000), #"{"a":1}"#]
        let outcome = try outcome(Self.ab, lines) { $0.depthMax = 5 }
        #expect(outcome.refusals == ["too_deep", "too_deep"])
        #expect(outcome.rows.count == 3)
    }

    @Test func objectsAreTheFieldsOfANestedWhereTheStageFileSaysSo() throws {
        let columns: [(name: String, type: String, expression: String?)] = [
            ("n", "UInt8", nil), ("n.x", "Array(UInt8)", nil), ("n.y", "Array(UInt8)", "[7]"), ("m.z", "UInt8", nil),
        ]
        let lines = [
            #"{"n":{"x":[1],"y":[2]},"m":{"z":3}}"#, #"{"n":{"\u0078":[1],"y":[5],"other":{}}}"#,
            #"{"n.x":[1],"n":{"y":[4]}}"#,
            #"{"n":{}}"#, #"{"n":{"x":[1]},"n":{"y":[6]}}"#, #"{"n":5}"#, #"{"n":{"x":[1],"x":[2]}}"#, #"{"n":null}"#,
            #"{"n":{"x":[1,2],"y":[1]}}"#,
        ]
        let outcome = try outcome(columns, lines) { $0.input.importNestedJSON = true }
        #expect(
            outcome.rows.sorted() == [
                #"{"n":0,"n.x":[1],"n.y":[2],"m.z":3}"#, #"{"n":0,"n.x":[1],"n.y":[4],"m.z":0}"#,
                #"{"n":0,"n.x":[1],"n.y":[5],"m.z":0}"#, #"{"n":0,"n.x":[1],"n.y":[6],"m.z":0}"#,
                #"{"n":0,"n.x":[],"m.z":0}"#,
            ])
        #expect(
            outcome.refusals == ["type_mismatch", "duplicate_key n.x", "type_mismatch", "type_mismatch"])
        // Otherwise an object for `n` is a value of that column.
        #expect(try self.outcome(columns, [lines[0]]).refusals == ["type_mismatch n"])
    }

    @Test(arguments: [
        ("input_format_json_read_bools_as_numbers", "Int64", "true"),
        ("input_format_json_read_bools_as_numbers", "Nullable(Float32)", #""false""#),
        ("input_format_json_read_bools_as_numbers", "Array(LowCardinality(UInt16))", "[true]"),
        ("input_format_json_read_bools_as_numbers", "Date32", "true"),
        ("input_format_json_read_bools_as_strings", "String", "true"),
        ("input_format_json_read_numbers_as_strings", "LowCardinality(Nullable(String))", "1.5"),
        ("input_format_json_read_objects_as_strings", "Nullable(String)", #"{"a":1}"#),
        ("input_format_json_read_arrays_as_strings", "LowCardinality(String)", "[1]"),
        ("input_format_json_named_tuples_as_objects", "Tuple(a UInt8)", #"{"a":1}"#),
        ("input_format_json_ignore_unknown_keys_in_named_tuple", "Tuple(a UInt8)", #"{"a":1,"b":2}"#),
        ("input_format_json_defaults_for_missing_elements_in_named_tuple", "Tuple(a UInt8)", "{}"),
    ])
    func whatTheStageFileForbidsIsRefused(setting: String, type: String, value: String) throws {
        let flags: [String: WritableKeyPath<ValidateSettings.Input, Bool>] = [
            "input_format_json_read_bools_as_numbers": \.readBoolsAsNumbers,
            "input_format_json_read_bools_as_strings": \.readBoolsAsStrings,
            "input_format_json_read_numbers_as_strings": \.readNumbersAsStrings,
            "input_format_json_read_objects_as_strings": \.readObjectsAsStrings,
            "input_format_json_read_arrays_as_strings": \.readArraysAsStrings,
            "input_format_json_named_tuples_as_objects": \.namedTuplesAsObjects,
            "input_format_json_ignore_unknown_keys_in_named_tuple": \.ignoreUnknownKeysInNamedTuple,
            "input_format_json_defaults_for_missing_elements_in_named_tuple": \.defaultsForMissingElementsInNamedTuple,
        ]
        let flag = try #require(flags[setting])
        let lines = ["{\"v\":\(value)}", "{}"]
        #expect(try outcome([("v", type, nil)], lines).rows.count == 2)
        let strict = try outcome([("v", type, nil)], lines) { $0.input[keyPath: flag] = false }
        #expect(strict.refusals == ["type_mismatch v"])
        #expect(strict.rows.count == 1)
        // A table's own settings go before those of all.
        let own = try outcome([("v", type, nil)], lines) {
            $0.tables["t"] = $0.input
            $0.input[keyPath: flag] = false
        }
        #expect(own.rows.count == 2)
    }

    /// ClickHouse would take the null for a 0 in the map, so no other type of the Variant may have it.
    @Test func aNullThatIsForbiddenIsNotAnotherType() throws {
        let columns: [(name: String, type: String, expression: String?)] = [
            ("v", "Variant(Map(String, UInt64), String)", nil)
        ]
        let outcome = try outcome(columns, [#"{"v":{"a":null}}"#, #"{"v":{"a":1}}"#, #"{"v":null}"#]) {
            $0.input.nullAsDefault = false
        }
        #expect(outcome.refusals == ["null_not_allowed v"])
        #expect(outcome.rows.count == 2)
    }

    /// UInt8 and Int8 take booleans always; arrays are what tuples with names are read from when they are no objects.
    @Test func whatTheStageFileLeavesIsTaken() throws {
        let columns: [(name: String, type: String, expression: String?)] = [
            ("a", "UInt8", nil), ("b", "Int8", nil), ("c", "Tuple(x UInt8, y String)", nil),
        ]
        let outcome = try outcome(columns, [#"{"a":true,"b":false,"c":[1,"z"]}"#]) {
            $0.input.readBoolsAsNumbers = false
            $0.input.namedTuplesAsObjects = false
        }
        #expect(outcome.rows == [#"{"a":1,"b":0,"c":{"x":1,"y":"z"}}"#])
    }

    @Test func omittedFieldsTakeTheTypesDefaultWhereTheStageFileSaysSo() throws {
        let columns: [(name: String, type: String, expression: String?)] = [
            ("a", "UInt8", nil), ("d", "UInt8", "a + 1"), ("t", "Nullable(UInt8)", "7"),
        ]
        let outcome = try outcome(columns, [#"{"a":1}"#, #"{"a":2,"d":null,"t":3}"#]) {
            $0.input.defaultsForOmittedFields = false
        }
        #expect(outcome.rows == [#"{"a":1,"d":0,"t":null}"#, #"{"a":2,"d":0,"t":3}"#])
    }

    @Test func computedColumnsCannotBeWritten() throws {
        let outcome = try outcome(Self.ab, computed: ["m"], [#"{"m":1,"a":2}"#, #"{"a":3}"#])
        #expect(outcome.refusals == ["unknown_field m"])
        #expect(outcome.rows == [#"{"a":3,"b":null}"#])
    }

    @Test func rowsThatLeaveOutWhatTheServerComputesComeInBlocksWithoutIt() throws {
        let columns: [(name: String, type: String, expression: String?)] = [
            ("a", "UInt8", nil), ("d", "UInt8", "a + 1"), ("t", "Nullable(UInt8)", "7"),
        ]
        let outcome = try outcome(
            columns, [#"{"a":1,"d":2,"t":3}"#, #"{"a":4}"#, #"{"d":5,"a":6}"#, #"{"a":7,"t":null}"#, #"{"a":8}"#])
        #expect(outcome.rejections.isEmpty)
        #expect(
            outcome.rows.sorted() == [
                #"{"a":1,"d":2,"t":3}"#, #"{"a":4}"#, #"{"a":6,"d":5}"#, #"{"a":7,"t":null}"#, #"{"a":8}"#,
            ])
    }

    /// Also behind rows that leave the column out.
    @Test(arguments: ["Nullable(UInt8)", "LowCardinality(Nullable(UInt8))", "Variant(UInt8)", "Dynamic"])
    func aNullForAColumnThatTakesOneIsNoOmission(type: String) throws {
        let fixture = try RowFixture([("id", "UInt8", nil), ("n", type, "5"), ("m", "UInt8", "6")])
        let outcome = try fixture.read([
            #"{"id":1}"#, #"{"id":2,"n":null}"#, #"{"id":3}"#, #"{"n":null,"id":4,"m":null}"#, #"{"id":5,"m":1,"n":7}"#,
        ])
        #expect(outcome.rejections.isEmpty)
        #expect(
            outcome.rows.sorted() == [
                #"{"id":1}"#, #"{"id":2,"n":null}"#, #"{"id":3}"#, #"{"id":4,"n":null}"#, #"{"id":5,"n":7,"m":1}"#,
            ])
    }

    @Test func moreSetsOfOmittedColumnsThanVariantsMaxAreRefused() throws {
        let columns: [(name: String, type: String, expression: String?)] = [
            ("a", "UInt8", nil), ("d", "UInt8", "1"), ("e", "UInt8", "2"),
        ]
        let lines = [#"{"d":1,"e":1}"#, #"{"d":1}"#, #"{"e":1}"#, #"{"d":2}"#, #"{"d":1,"e":3}"#]
        let outcome = try outcome(columns, lines) { $0.variantsMax = 2 }
        #expect(outcome.refusals == ["too_many_variants"])
        #expect(outcome.rows.count == 4)
    }

    /// Each of these once sent a worker in circles.
    @Test(
        .endsEvenIfItHangs,
        arguments: [
            #"{"d":null,"d":5}"#, #"{"d":5,"d":null}"#, #"{"d":null,"d":null,"d":1}"#, #"{"d":nope}"#, #"{"d":nan}"#,
            #"{"table":"t","table":"u"}"#, #"{"table":"u","table":"t"}"#, #"{"table":"t","table":"t","a":300}"#,
        ])
    func aRowThatContradictsItselfIsRefused(line: String) throws {
        let columns: [(name: String, type: String, expression: String?)] = [("a", "UInt8", nil), ("d", "UInt8", "1")]
        let outcome = try outcome(columns, [#"{"a":1}"#, line, #"{"a":2}"#, line, #"{"a":3,"d":1}"#, line])
        #expect(outcome.rows.count == 3)
        #expect(outcome.rejections.count == 3)
    }

    @Test func theTableMayBeNamedAnywhereInTheRow() throws {
        let lines = [
            #"{"table":"t","a":1}"#, #"{"a":2,"table":"t"}"#, #"{"a":3}"#, #"{"\u0074able":"\u0074","a":4}"#,
            #"{"table":"other","a":5}"#, #"{"a":"not a number here","table":"other"}"#,
            #"{"a":1,"a":2,"table":"other"}"#,
            #"{"table":5,"a":6}"#, #"{"table":null,"a":7}"#, #"{"table":"","a":8}"#, #"{"a":9}"#,
        ]
        let outcome = try outcome(Self.ab, lines)
        #expect(outcome.rows.count == 5)
        #expect(
            outcome.refusals == [
                "unknown_table", "unknown_table", "unknown_table", "invalid_table", "invalid_table", "invalid_table",
            ])
        #expect(outcome.rejections.prefix(3).allSatisfy { $0.table?.table == "other" })
    }

    @Test(.endsEvenIfItHangs) func aColumnOfTheTableFieldsNameIsAColumnToo() throws {
        let columns: [(name: String, type: String, expression: String?)] = [
            ("a", "UInt8", nil), ("table", "String", nil),
        ]
        let outcome = try outcome(columns, [#"{"a":1,"table":"t"}"#, #"{"a":2}"#, #"{"table":"t","a":3}"#])
        #expect(outcome.rejections.isEmpty)
        #expect(outcome.rows == [#"{"a":1,"table":"t"}"#, #"{"a":2,"table":""}"#, #"{"a":3,"table":"t"}"#])
    }

    /// While ClickHouse tries a Variant's types it takes these for something else, or for nothing of the kind.
    @Test(arguments: [
        ("Variant(Date, String)", "-0", #"{"v":"-0"}"#), ("Variant(Date, String)", #""1000:00:00""#, nil),
        ("Variant(Array(Float64), Tuple(UInt64))", "[]", nil),
        ("Variant(String, Tuple(LowCardinality(UInt16)))", "[ ]", nil),
        ("Variant(String, Tuple(Date))", "[]", nil), ("Variant(String, Tuple(Nullable(Time)))", "[]", nil),
        ("Variant(String, Tuple(Enum8('a' = 0)))", "[]", nil), ("Variant(String, Tuple(Date32))", "[]", nil),
        ("Variant(String, Tuple(DateTime))", "[]", #"{"v":"[]"}"#),
        ("Variant(Array(Float64), Tuple(UInt64))", "[7]", #"{"v":[7]}"#),
    ])
    func aVariantTakesNothingForAnotherValue(type: String, value: String, stored: String?) throws {
        let outcome = try RowFixture(type: type).read(["{\"v\":\(value)}"])
        #expect(outcome.rows == (stored.map { [$0] } ?? []))
        #expect(outcome.refusals == (stored == nil ? ["type_mismatch v"] : []))
    }

    @Test(arguments: [".true", ".false", ".inf", ".nan", "-.inf", "."]) func behindAPointAFloatHasDigits(value: String)
        throws
    {
        for type in ["Float64", "Float32", "Variant(Array(String), Float64)"] {
            let outcome = try RowFixture(type: type).read(["{\"v\":\(value)}", "{\"v\":\"\(value)\"}", #"{"v":.5}"#])
            #expect(outcome.rows == [#"{"v":0.5}"#])
            #expect(outcome.refusals.count == 2)
        }
    }

    /// ClickHouse finds Dynamic for some of the empty ones, and the type of their neighbours for others.
    @Test func emptyArraysInArraysBesideEmptyOnesAreOfNoCertainType() throws {
        let fixture = try RowFixture(type: "Dynamic")
        let outcome = try fixture.read(
            ["[[[1],[]],[]]", "[[[[1],[]],[]],[]]", "[[],[[],[[1]]]]", "[[[1],[]],[[2]]]", "[[1],[]]", "[[[[1]]],[]]"]
                .map {
                    "{\"v\":\($0)}"
                })
        #expect(outcome.refusals == Array(repeating: "type_mismatch v", count: 3))
        #expect(outcome.rows.count == 3)
    }
}
