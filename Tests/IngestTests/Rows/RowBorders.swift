/// Values at the borders of each type, and around what its text may look like.
enum RowBorders {
    typealias Border = RowFidelityTests.Border

    static let all: [Border] = integers + floats + decimals + texts + days + times + others + ofParts

    static let numberShapes = [
        "0", "-0", "+1", "1", "-1", "01", "007", "1.0", "1.5", "1e1", "1E2", #""5""#, #""-5""#, #""+5""#, #""5 ""#,
        #"" 5""#,
        #""""#, #""x""#, #""5x""#, "true", "false", #""true""#, #""false""#, "-true", "+false", "null", #""null""#,
        "nan",
        "inf", "-", "+", "--1", "+-1", "0x10", "1_000", "[1]", "{}", #""0b1""#, "5x", "12345678901234567890123", "1 2",
    ]

    private static func integer(_ type: String, _ low: String, _ high: String, below: String, above: String) -> Border {
        Border(
            type: type, values: numberShapes + [low, high, below, above, "\"\(low)\"", "\"\(high)\"", "\"\(above)\""])
    }

    private static let integers: [Border] = [
        integer("Int8", "-128", "127", below: "-129", above: "128"),
        integer("Int16", "-32768", "32767", below: "-32769", above: "32768"),
        integer("Int32", "-2147483648", "2147483647", below: "-2147483649", above: "2147483648"),
        integer(
            "Int64", "-9223372036854775808", "9223372036854775807", below: "-9223372036854775809",
            above: "9223372036854775808"),
        integer("UInt8", "0", "255", below: "-2", above: "256"),
        integer("UInt16", "0", "65535", below: "-2", above: "65536"),
        integer("UInt32", "0", "4294967295", below: "-2", above: "4294967296"),
        integer("UInt64", "0", "18446744073709551615", below: "-2", above: "18446744073709551616"),
        integer("Nullable(Int32)", "-2147483648", "2147483647", below: "-2147483649", above: "2147483648"),
    ]

    static let floatShapes =
        numberShapes + [
            "-0.0", "0.1", ".5", "5.", "-.5", "1e", "1e+", "1e-400", "1e400", "-1e400", "1e-45", "7e-46", "NaN", "-nan",
            "+nan",
            "Inf", "-inf", "+inf", "Infinity", "-Infinity", "infinity", #""nan""#, #""NaN""#, #""inf""#, #""-inf""#,
            #""Infinity""#, "9007199254740993", "16777217", "0.30000000000000004", "1.7976931348623157e308",
            "1.7976931348623159e308", "3.4028235e38", "3.4028236e38", "4.9e-324", "2.4e-324", "1e22", "1e23",
            "0.000000000000000000000000000000000000000000001", "123456789012345678901234567890.5e-20", "1.5.5", "1e5e5",
        ]

    private static let floats: [Border] = [
        Border(type: "Float64", values: floatShapes), Border(type: "Float32", values: floatShapes),
        Border(type: "Nullable(Float64)", values: floatShapes),
    ]

    static let decimalShapes =
        numberShapes + [
            "0.00001", "1.23456789", "-1.99999", "99999.9999", "100000", "-99999.9999", "1e4", "1e5", "1.5e-3", "15e-1",
            "1e-10", "0e100", "1e100", "1e-100", ".5", "5.", "-.5", ".", "-.", "1.2.3", #""1.5""#, #""1.""#, #""1e2""#,
            "00000000000000000000000000000000000000000000001.5", "0.00000000000000000000000000000000000000000000001",
            "1.00000000000000000000000000000000000000000000001", "9999999999999999999999999999",
            "99999999999999999999999999999999999999", "-99999999999999999999999999999999999999",
            "100000000000000000000000000000000000000", "123456789012345678", "999999999999999999",
            "1000000000000000000",
            "1234567890123456.7891", "0.9999999999999999999", "1e", "1e+", "1e+2", "1E-2",
        ]

    private static let decimals: [Border] = [
        Border(type: "Decimal(9, 4)", values: decimalShapes), Border(type: "Decimal(18, 0)", values: decimalShapes),
        Border(type: "Decimal(18, 18)", values: decimalShapes), Border(type: "Decimal(38, 10)", values: decimalShapes),
        Border(type: "Decimal(38, 0)", values: decimalShapes),
        Border(type: "Nullable(Decimal(18, 4))", values: decimalShapes),
    ]

    static let textShapes = [
        #""""#, #""a""#, #""ab""#, #""abc""#, #""abcd""#, #""é1""#, #""日本""#, #""\u00e9""#, #""\u00E9""#,
        #""\ud83d\ude00""#,
        #""\ud83d""#, #""\ude00""#, #""\ud83dx""#, #""\ud83d\u0041""#, #""\u12""#, #""\u""#, #""\uzzzz""#,
        #""\n\t\r\b\f""#,
        #""\/\\\"""#, #""\x""#, #""\0""#, #""\'""#, #""\a\v\e""#, #""\u0000""#, "\"\t\"", "\"\u{1}\u{1F}\"", #""null""#,
        "null",
        "true", "false", "1", "-1.50", "1e5", "+1", "nan", "inf", "[1, 2]", #"{"a" : [1, {"b":null}] }"#, "[]", "{}",
        "[1",
        #"{"a"}"#, #""a"b"#, "tru", "nul", "x", #"["\"]"]"#,
    ]

    private static let texts: [Border] = [
        Border(type: "String", values: textShapes), Border(type: "FixedString(3)", values: textShapes),
        Border(type: "Nullable(String)", values: textShapes),
        Border(type: "LowCardinality(String)", values: textShapes),
        Border(type: "LowCardinality(Nullable(String))", values: textShapes),
        Border(type: "LowCardinality(FixedString(3))", values: textShapes),
        Border(type: "Array(String)", values: textShapes.map { "[\($0), \($0)]" }),
    ]

    static let dayShapes = [
        #""1970-01-01""#, #""2149-06-06""#, #""2149-06-07""#, #""1969-12-31""#, #""1900-01-01""#, #""1899-12-31""#,
        #""0000-01-01""#, #""0001-01-01""#,
        #""2299-12-31""#, #""2300-01-01""#, #""2024-02-29""#, #""2023-02-29""#, #""2024-02-30""#, #""2024-00-10""#,
        #""2024-13-01""#, #""2024-04-31""#, #""2024-01-00""#, #""2024-1-2""#, #""2024-01-2""#, #""2024/01/02""#,
        #""2024.01.02""#,
        #""2024-01/02""#, #""20240102""#, #""2024-01-02 ""#, #"" 2024-01-02""#, #""2024-01-02T00:00:00""#,
        #""2024-01-02 03:04:05""#, #""24-01-02""#, #""2024-01""#, #""0000-00-00""#, #""""#, #""x""#, "19000", "0", "-1",
        "65535",
        "65536", "120529", #""19000""#, "20240102", "null", "true", "1.5", #""2024-01-02x""#, #""1""#,
    ]

    private static let days: [Border] = [
        Border(type: "Date", values: dayShapes), Border(type: "Date32", values: dayShapes),
        Border(type: "Nullable(Date)", values: dayShapes),
    ]

    static let timeShapes = [
        #""2024-02-29 12:34:56""#, #""2024-02-29T12:34:56""#, #""2024-02-29 12:34:56.789""#, #""2024-02-29 12:34:56.""#,
        #""2024-02-29 12:34:56,789""#, #""2024-02-29 12:34:56.123456789123""#, #""2024-02-29T12:34:56Z""#,
        #""2024-02-29T12:34:56.5Z""#, #""2024-02-29T12:34:56z""#, #""2024-02-29T12:34:56+02:00""#,
        #""2024-02-29T12:34:56-0530""#,
        #""2024-02-29T12:34:56+02""#, #""2024-02-29 12:34:56 +0200""#, #""2024-02-29 12:34:56 UTC""#,
        #""2024-02-29 12:34:56 GMT""#,
        #""2024-02-29T12:34:56+2""#, #""2024-02-29T12:34:56+25:00""#, #""2024-02-29T12:34:56 MSK""#,
        #""2024-02-29T12:34:56+14:00""#,
        #""2024-02-29 12:34""#, #""2024-02-29 12""#, #""2024-02-29""#, #""2024-2-9 1:02:03""#, #""2024-02-29 1:2:3""#,
        #""2024-02-29 24:00:00""#, #""2024-02-29 23:60:00""#, #""2024-02-29 23:59:60""#, #""2024-02-30 00:00:00""#,
        #""2023-02-29 00:00:00""#, #""2024-04-31 10:00:00""#, #""2024-13-01 00:00:00""#, #""2024-00-00 00:00:00""#,
        #""0000-00-00 00:00:00""#, #""20240229123456""#, #""20240229T123456""#, #""20240229T123456Z""#,
        #""20240229 123456""#,
        #""20240229""#, #""2024/02/29 12:34:56""#, #""2024.02.29 12:34:56""#, #""29/02/2024 12:34:56""#,
        #""02/29/2024""#,
        #""29 Feb 2024 12:34:56""#, #""Feb 29 2024""#, #""Thu, 29 Feb 2024 12:34:56 GMT""#,
        #""2024-02-29 01:02:03 PM""#,
        #""2024-02-29  12:34:56""#, #"" 2024-02-29 12:34:56""#, #""2024-02-29 12:34:56 ""#, #""2024-02-29 12:34:56x""#,
        #""""#,
        #""now""#, "0", "1", "-1", "1709210096", #""1709210096""#, #""170921009""#, #""1709210096.5""#, "1709210096.5",
        "1709210096.123456789", "1709210096789", #""1709210096789""#, #""1709210096789012""#, #""1709210096789012345""#,
        "4294967295",
        "4294967296", #""4294967295""#, #""2106-02-07 06:28:15""#, #""2106-02-07 06:28:16""#, #""1969-12-31 23:59:59""#,
        #""1970-01-01 00:00:00""#, #""1900-01-01 00:00:00""#, #""1899-12-31 23:59:59""#, #""2299-12-31 23:59:59""#,
        #""2300-01-01 00:00:00""#, #""2262-04-11 23:47:16.854775807""#, #""2262-04-12 00:00:00""#,
        #""1969-12-31 23:59:59.5""#,
        #""1900-01-01 00:00:00.25""#, "-1.5", #""-1""#, #""2025-03-09 02:30:00""#, #""2025-11-02 01:30:00""#, "true",
        "null",
        "1e9", "[1]", #""2024""#, #""202402""#, #""12:34:56""#, #""2024-02-29T""#, #""2024-02-29-12:34:56""#,
        #""2024-02-29\u002012:34:56""#, #""2024-02-29T12:34:56.789+00:00""#, #""2024-02-29T12:34:56.789-05:00""#,
        #""5""#, #""12345""#, #""0000-01-01 00:00:00""#, #""0000-01-01""#, #""0000-12-31 10:20:30.5""#,
        #""0000-02-29T10:20:30Z""#, #""0000-05-06 07:08""#, #""0001-01-01 00:00:00""#, #""9999-12-31 23:59:59""#,
    ]

    private static let times: [Border] = [
        Border(type: "DateTime('UTC')", values: timeShapes),
        Border(type: "DateTime('America/New_York')", values: timeShapes),
        Border(type: "DateTime", values: timeShapes),
        Border(type: "DateTime64(0, 'UTC')", values: timeShapes),
        Border(type: "DateTime64(3, 'UTC')", values: timeShapes),
        Border(type: "DateTime64(6, 'UTC')", values: timeShapes),
        Border(type: "DateTime64(9, 'UTC')", values: timeShapes),
        Border(type: "DateTime64(3, 'America/New_York')", values: timeShapes),
        Border(type: "Nullable(DateTime64(3, 'UTC'))", values: timeShapes),
    ]

    static let enumShapes = [
        #""a""#, #""b c""#, #""é""#, #""\u00e9""#, #""it's""#, #""A""#, #""""#, #""1""#, #""-3""#, "1", "-3", "2", "0",
        "300", "70000", "null",
        "true", "1.0", #""nope""#, "[]", #""a ""#,
    ]

    private static let others: [Border] = [
        Border(type: "Enum8('a' = 1, 'b c' = 2, 'é' = -3, 'it\\'s' = 5)", values: enumShapes),
        Border(type: "Enum16('a' = 1, 'b c' = 300, 'é' = -3, '' = 7)", values: enumShapes),
        Border(type: "Nullable(Enum8('a' = 1, 'b c' = 2))", values: enumShapes),
        Border(
            type: "Bool",
            values: numberShapes + ["2", "10", "01", #""1""#, #""0""#, #""yes""#, "True", "TRUE", #""on""#]),
        Border(type: "Nullable(Bool)", values: ["null", "true", "false", "1", "0", "2"]),
        Border(
            type: "UUID",
            values: [
                #""61f0c404-5cb3-11e7-907b-a6006ad3dba0""#, #""61F0C404-5CB3-11E7-907B-A6006AD3DBA0""#,
                #""61f0c4045cb311e7907ba6006ad3dba0""#, #""61f0c404-5cb3-11e7-907b-a6006ad3dba""#,
                #""61f0c404-5cb3-11e7-907b-a6006ad3dba00""#, #""61f0c404-5cb3-11e7-907b-a6006ad3dbag""#,
                #""61f0c404 5cb3 11e7 907b a6006ad3dba0""#, #""{61f0c404-5cb3-11e7-907b-a6006ad3dba0}""#, #""""#,
                "null", "0", #""x""#,
                #"" 61f0c404-5cb3-11e7-907b-a6006ad3dba0""#, #""61f0c404-5cb311e7-907b-a6006ad3dba0""#,
                #""61f0c404-5cb3-11e7-907b-a6006ad3dba\u0030""#, #""00000000-0000-0000-0000-000000000000""#,
            ]),
        Border(
            type: "Array(UInt8)",
            values: [
                "[]", "[1]", "[1,2,255]", "[ 1 , 2 ]", "[1,]", "[,1]", "[1 2]", "[256]", "[null]", "[[1]]", #""[1,2]""#,
                "1", "{}", "null",
                #"["1","2"]"#, "[1", "[true]", "[1.5]", "[\t1\r]",
            ]),
        Border(
            type: "Array(Nullable(Int32))",
            values: ["[]", "[null]", "[null,1,null]", "[nul]", #"["null"]"#, "null", "[null null]"]),
        Border(
            type: "Array(Array(String))",
            values: ["[]", "[[]]", #"[["a"],[],["b","c"]]"#, "[null]", "[[null]]", #"["a"]"#, "[[1,true,{}]]"]),
        Border(type: "Array(Enum8('a' = 1, 'b' = -2))", values: [#"["a","b"]"#, "[1,-2]", "[null]", "[3]", #"["c"]"#]),
        Border(
            type: "LowCardinality(UInt32)", values: numberShapes + ["4294967295", "4294967296"]),
        Border(type: "LowCardinality(Nullable(UInt32))", values: ["null", "0", "1", "[]"]),
        Border(type: "LowCardinality(Date)", values: [#""2024-02-29""#, #""1970-01-01""#, "null", #""2024-02-30""#]),
    ]
}
