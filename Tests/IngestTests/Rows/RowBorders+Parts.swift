/// Values of types that are wide, that name addresses and clocks, or that are made of parts.
extension RowBorders {
    static let ofParts: [Border] = wide + addresses + clocks + named + tuples + maps + alternatives

    private static let wideShapes =
        numberShapes + [
            "170141183460469231731687303715884105727", "170141183460469231731687303715884105728",
            "-170141183460469231731687303715884105728", "-170141183460469231731687303715884105729",
            "340282366920938463463374607431768211455", "340282366920938463463374607431768211456",
            "57896044618658097711785492504343953926634992332820282019728792003956564819967",
            "57896044618658097711785492504343953926634992332820282019728792003956564819968",
            "-57896044618658097711785492504343953926634992332820282019728792003956564819968",
            "-57896044618658097711785492504343953926634992332820282019728792003956564819969",
            "115792089237316195423570985008687907853269984665640564039457584007913129639935",
            "115792089237316195423570985008687907853269984665640564039457584007913129639936",
            #""170141183460469231731687303715884105727""#,
            "000000000000000000000000000000000000000000000000000000000000012",
            "18446744073709551616", "-18446744073709551616",
        ]

    private static let wideDecimalShapes =
        decimalShapes + [
            "9999999999999999999999999999999999999999999999999999999999999999999999999999",
            "10000000000000000000000000000000000000000000000000000000000000000000000000000",
            "99999999999999999999999999999999999999999999999999999999.99999999999999999999",
            "100000000000000000000000000000000000000000000000000000000",
            "-99999999999999999999999999999999999999999999999999999999.99999999999999999999",
            "12345678901234567890123456789012345678901234567890123456789012345678901234567890e-10",
            "1e55", "1e56", "1e75", "1e76", "0.00000000000000000001", "0.000000000000000000019",
        ]

    private static let wide: [Border] =
        ["Int128", "UInt128", "Int256", "UInt256", "Nullable(Int256)", "LowCardinality(UInt128)"].map {
            Border(type: $0, values: wideShapes)
        }
        + ["Decimal(39, 5)", "Decimal(76, 20)", "Decimal(76, 0)", "Decimal(76, 76)", "Nullable(Decimal(50, 10))"].map {
            Border(type: $0, values: wideDecimalShapes)
        }
        + ["BFloat16", "Nullable(BFloat16)"].map {
            Border(
                type: $0,
                values: floatShapes + [
                    "3.14159", "65504", "1.00390625", "1.01171875", "1.0078124999", "1.00781249999999", "3.3895e38",
                    "3.4e38", "1e-40", "9.2e-41", "4e-41",
                ])
        }

    private static let addressShapes = [
        "1.2.3.4", "0.0.0.0", "255.255.255.255", "256.1.1.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "001.002.003.004",
        "0001.2.3.4", "1.0002.3.4", "1.00002.3.4", "1.2.3.4 ", " 1.2.3.4", "1.2.3.", ".1.2.3", "1..2.3", "-1.2.3.4",
        "16909060", "", "a.b.c.d", "::", "::1", "1::", ":", ":::", "1:::2", ":::1", "::1:", "1::2:", ":1::",
        "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7", "1::2::3", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8",
        "1:2:3:4::5:6:7:8", "1:2:3:4:5:6:7::8", "2001:db8::ff00:42:8329", "2001:DB8::FF00:42:8329", "12345::", "g::",
        "::ffff:1.2.3.4", "::1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:1.2.3.4",
        "1::1.2.3.4", "::2:3:4:5:6:7:1.2.3.4", "::1.2.3", "::1.2.3.256", "::256.1.2.3", "::1.2.3.4:5", "1.2.3.4::",
        "::a.2.3.4", "::01.2.3.4", "::0001.2.3.4", "::1.02.3.4", "[::1]", "fe80::1%eth0", "::1/64", "0:0:0:0:0:0:0:0",
        "00000::1", "0000:0000::1", "1:0:0:2:0:0:0:3", "1:0:0:0:2:0:0:0", "0:0:1::", "::1:0:0", "1:0:2:0:3:0:4:0",
        "::ffff:0:0", "::fffe:1.2.3.4", "64:ff9b::1.2.3.4", #"\u0031.2.3.4"#, "09.2.3.4", "0.2.3.4", "00.2.3.4",
        "1:2", "1:", "12:.", "::.1.2.3", "::1.", "::1..2.3", "1.2:3.4", "ffff:1.2.3.4",
    ]

    private static let addresses: [Border] = ["IPv4", "IPv6", "Nullable(IPv6)", "LowCardinality(IPv4)"].map {
        Border(type: $0, values: addressShapes.map { "\"\($0)\"" } + ["null", "1", "16909060", "true", "[]", "{}"])
    }

    private static let clockShapes =
        [
            "12:34:56", "00:00:00", "999:59:59", "-999:59:59", "1000:00:00", "12:34", "1:02", "60:00", "123:45", "59",
            "60",
            "5", "-5", "100", "1:2:3", "12:3:4", "12:34:5", "12:60:00", "12:34:60", "99:99:99", "012:34:56",
            "0012:34:56",
            "-0:00:01", "-00:00:00", "+1:02:03", "12:34:56 ", " 12:34:56", "12:34:56.7", "12:34:56.", "12:34:56.789",
            "12:34:56.123456789", "12:34:56.1234567891", "-12:34:56.789", "-00:00:00.5", "5.25", "-5.25", "1:02.5", "",
            "x", "12-34-56", "2024-01-01 12:34:56", "123456", "999:59:59.999", "999:59:59.9999999999", "24:00:00",
            "1:02:03",
            "12:34:56,5", "-", "-x", ":00", "1:", "1::02", "12:34:", "001:02:03", "99.9",
        ].map { "\"\($0)\"" } + [
            "0", "1", "-1", "+1", "45296", "3599999", "3600000", "-3599999", "-3600000", "1.5", "-0.5", "true", "null",
            "1e3", "3599999999", "3600000000", "-3599999999", "-3600000000", "9223372036854775807", "[]",
        ]

    private static let clocks: [Border] = ["Time", "Time64(0)", "Time64(3)", "Time64(9)", "Nullable(Time64(3))"].map {
        Border(type: $0, values: clockShapes)
    }

    private static let named: [Border] =
        [
            Border(type: "IntervalDay", values: wideShapes),
            Border(type: "SimpleAggregateFunction(sum, UInt64)", values: numberShapes),
            Border(type: "SimpleAggregateFunction(anyLast, Nullable(String))", values: textShapes),
            Border(
                type: "SimpleAggregateFunction(groupArrayArray, Array(UInt8))",
                values: ["[1,2]", "[]", "null", "1", "{}"]),
            Border(
                type: "Point", values: ["[1,2]", "[1.5,-2e3]", "[1]", "[1,2,3]", "[]", "null", #"{"x":1}"#, "[null,1]"]),
            Border(type: "Ring", values: ["[[0,0],[1,1]]", "[]", "[[1]]", "[1,2]", "null", "[null]"]),
            Border(type: "Polygon", values: ["[[[0,0],[1,1]],[]]", "[]", "[[1,2]]"]),
            Border(type: "MultiPolygon", values: ["[[[[0,0],[1,1]],[]],[]]", "[]", "[[[1,2]]]"]),
            Border(type: "LineString", values: ["[[0,0],[1,1]]", "[]"]),
            Border(type: "MultiLineString", values: ["[[[0,0],[1,1]],[]]", "[]"]),
            Border(type: "Array(Nothing)", values: ["[]", "[1]", "null"]),
            Border(type: "Nullable(Nothing)", values: ["null", "1", "[]"]),
        ]

    private static let tuples: [Border] = [
        Border(
            type: "Tuple(UInt8, String)",
            values: [
                #"[1,"a"]"#, "[1]", #"[1,"a",]"#, #"[1,"a","b"]"#, #"{"1":1,"2":"a"}"#, #"[null,"a"]"#, "[1,null]",
                "null",
                #""(1,'a')""#, "[]", #"[ 1 , "a" ]"#, "[300,1]", "[1,{}]", "[,]", #"[1 "a"]"#, #"["5",5]"#,
            ]),
        Border(
            type: "Tuple(a UInt8, b String)",
            values: [
                #"{"a":1,"b":"x"}"#, #"{"b":"x"}"#, "{}", #"[1,"x"]"#, #"{"a":1,"c":2}"#, #"{"a":1,"a":2}"#,
                #"{"a":1,"b":"x",}"#, "null", #"{"a":null}"#, #"{"A":1}"#, #"{"\u0061":1}"#, #"{"\x61":1}"#,
                #"{ "a" : 1 , "b" : "y" }"#, #"{"c":{"a":[1,{}]},"a":1,"b":[1]}"#, #"{"a":1,"b":"x","c":null}"#,
                #"{"b":"x","a":2}"#, #"{"c":1}"#, #"{"c":1,"c":2}"#, #"{a:1}"#, #"{"a":300}"#, #"{"a"}"#, #"{"a":}"#,
                #"{"":1}"#, #"{"\n":1}"#, #"{"a\/":1,"b":"x"}"#,
            ]),
        Border(type: "Tuple()", values: ["[]", "[ ]", "{}", "null", "[1]"]),
        Border(type: "Tuple(UInt8)", values: ["[1]", "[1,]", "[ 1 ]", "1", "[null]"]),
        Border(
            type:
                "Tuple(a Tuple(b Nullable(Int32), c Array(LowCardinality(String))), d LowCardinality(Nullable(String)))",
            values: [
                #"{"a":{"b":1,"c":["x","y","x"]},"d":"z"}"#, #"{"a":{},"d":null}"#, "{}", #"{"a":null}"#,
                #"{"a":{"b":null,"c":null}}"#, #"{"a":{"c":["x",null]}}"#, #"{"a":[]}"#,
            ]),
        Border(
            type: "Nullable(Tuple(a UInt8, b String))",
            values: ["null", #"{"a":1,"b":"x"}"#, #"{"b":null}"#, "{}", "[]"]),
        Border(
            type: "Array(Tuple(a UInt8, b Array(String)))",
            values: [
                #"[{"a":1,"b":["x"]},{}]"#, "[]", "[null]", #"{"a":[1],"b":[["x"]]}"#, #"[{"b":["x",null]},{"a":2}]"#,
                #"[{"a":1},{"a":300}]"#, #"[{"a":1},{"a":1,"a":2}]"#,
            ]),
        Border(
            type: "Tuple(`a b` UInt8, `c.d` String, `é` UInt8)",
            values: [#"{"a b":1,"c.d":"x","é":2}"#, #"{"c":{"d":"x"}}"#, "{}"]),
    ]

    private static let mapShapes = [
        #"{"a":1,"b":2}"#, #"{"a":1,"a":2}"#, "{}", "[]", #"{"a":null}"#, "null", #"{"a":1,}"#, #"[["a",1]]"#,
        #"{"a":1 ,"b":2}"#, #"{ "a" : 1 }"#, "{1:2}", #"{"1":2}"#, #"{"300":1}"#, #"{"a":300}"#, #"{"\u0061\n":1}"#,
        "{,}",
        #"{"a":1,,}"#, #"{"a"}"#, #"{"":1}"#, "{null:1}", #"{"2024-01-02":1}"#, #"{"1.5":2}"#, #"{"true":1}"#,
        #"{"1.2.3.4":1}"#, #"{"61f0c404-5cb3-11e7-907b-a6006ad3dba0":1}"#, #"{"ab":1,"abc":2}"#, #"{"null":1}"#,
    ]

    private static let maps: [Border] =
        [
            "Map(String, UInt8)", "Map(UInt8, UInt8)", "Map(LowCardinality(String), UInt8)",
            "Map(FixedString(2), UInt8)",
            "Map(Date, UInt8)", "Map(Enum8('a' = 1, 'b' = 2), UInt8)", "Map(Float64, UInt8)",
            "Map(Decimal(9, 2), UInt8)",
            "Map(IPv4, UInt8)", "Map(UUID, Nullable(UInt8))", "Map(Bool, UInt8)", "Map(String, LowCardinality(UInt8))",
            "Map(Int128, Int256)", "Map(DateTime64(3, 'UTC'), UInt8)",
        ].map { Border(type: $0, values: mapShapes) }
        + [
            Border(
                type: "Map(String, Array(Map(LowCardinality(String), Tuple(a UInt8))))",
                values: [#"{"x":[{"y":{"a":1}},{}],"z":[]}"#, #"{"x":null}"#, #"{"x":[null]}"#, #"{"x":[{"y":null}]}"#]),
            Border(
                type: "Array(Map(String, Nullable(String)))",
                values: [#"[{"a":null,"b":"x"},{}]"#, "[null]", "[]", #"[{"a":1}]"#]),
        ]

    private static let alternatives: [Border] = [
        Border(
            type: "Variant(UInt8, String)",
            values: numberShapes + textShapes + ["300", "255", #""255""#, #""256""#, "-1"]),
        Border(
            type: "Variant(Int64, Float64, Array(Int64), Bool, String)",
            values: floatShapes + ["[1]", #"[1,"a"]"#, "{}", "9223372036854775808", "[1.5]", "[null]", "[]"]),
        Border(
            type: "Variant(Date, DateTime('UTC'), UInt64)",
            values: dayShapes + timeShapes),
        Border(
            type: "Variant(Array(UInt8), Map(String, UInt8), Tuple(a UInt8, b UInt8))",
            values: mapShapes + ["[1]", "[]", "[300]", #"{"a":1,"b":2,"c":3}"#, #"{"b":2}"#, "1"]),
        Border(
            type: "Array(Variant(UInt8, String, Array(String)))",
            values: [#"[1,"a",null,["x"],300,[1],"2"]"#, "[]", "null", "[[null]]", "[{}]"]),
        Border(
            type: "Variant(Enum8('a' = 1, 'b' = 2), UUID, IPv4, IPv6, Decimal(9, 2), FixedString(3))",
            values: enumShapes + addressShapes.map { "\"\($0)\"" } + decimalShapes),
        Border(
            type: "Variant(LowCardinality(String), UInt8)", values: textShapes),
        Border(
            type: "Geometry",
            values: ["[1,2]", "[[1,2]]", "[[[1,2]]]", "[[[[1,2]]]]", "null", "[]", "[[]]", "[[[]]]", "[1]", "{}", "1"]),
    ]
}
