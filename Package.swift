// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target is held to the same bar: language mode 6 (from the tools version) and no warnings.
let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

let package = Package(
    name: "sluice",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "sluice", targets: ["sluice"]),
        .library(name: "ClickHouseNative", targets: ["ClickHouseNative"]),
        .library(name: "SluiceClient", targets: ["SluiceClient"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "CSluice", cSettings: [.treatAllWarnings(as: .error)]),
        .target(
            name: "ClickHouseNative",
            dependencies: [
                "CLZ4", "CZstd", "CSluice", .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "Pipeline",
            dependencies: [
                "ClickHouseNative", "CSluice", "Yams",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "ProducerProtocol",
            dependencies: ["CSluice", .product(name: "NIOCore", package: "swift-nio")],
            swiftSettings: strict
        ),
        .target(
            name: "SluiceClient",
            dependencies: [
                "ProducerProtocol", "CSluice",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "Ingest",
            dependencies: [
                "Pipeline", "ClickHouseNative", "CSluice", "ProducerProtocol",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "Sinks",
            dependencies: [
                "Pipeline", "ClickHouseNative", "CLZ4", "CZstd",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "Admin",
            dependencies: [
                "Pipeline", "CSluice",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            resources: [
                .embedInCode("Dashboard/dashboard.html"), .embedInCode("Dashboard/dashboard.css"),
                .embedInCode("Dashboard/dashboard.js"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "Daemon",
            dependencies: [
                "Ingest", "Sinks", "Pipeline", "ClickHouseNative",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: strict
        ),
        .target(name: "EventGenerator", path: "Benchmarks/EventGenerator", swiftSettings: strict),
        .executableTarget(
            name: "sluice",
            dependencies: [
                "Daemon", "Admin", "Sinks", "Pipeline", "ProducerProtocol", "SluiceClient", "ClickHouseNative",
                "EventGenerator", "CSluice", "CLZ4", "CZstd",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "Benchmarks",
            dependencies: [
                "Daemon", "Ingest", "Sinks", "Pipeline", "ClickHouseNative", "ProducerProtocol", "Workloads",
                "CLZ4", "CSluice", "CZstd",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
            ],
            path: "Benchmarks/Runner",
            swiftSettings: strict
        ),
        .target(
            name: "Workloads",
            dependencies: ["EventGenerator", "Pipeline", .product(name: "NIOCore", package: "swift-nio")],
            path: "Benchmarks/Workloads", swiftSettings: strict),
        // Replaces malloc in programs that link it: the benchmarks of time do not.
        .target(
            name: "CountedMemory", path: "Benchmarks/CountedMemory", cSettings: [.treatAllWarnings(as: .error)]),
        .target(
            name: "CountedWork",
            dependencies: [
                "CountedMemory", "Workloads", "Ingest", "Pipeline", "ClickHouseNative",
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Benchmarks/CountedWork", swiftSettings: strict),
        .executableTarget(
            name: "Counts", dependencies: ["CountedWork", "Workloads"], path: "Benchmarks/Counts",
            swiftSettings: strict),
        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: strict),
        .testTarget(
            name: "ClickHouseNativeTests", dependencies: ["ClickHouseNative", "TestSupport"],
            resources: [.copy("Golden")], swiftSettings: strict),
        .testTarget(
            name: "PipelineTests", dependencies: ["Pipeline", "ClickHouseNative", "Yams", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "CountTests", dependencies: ["CountedWork", "Workloads"], swiftSettings: strict),
        .testTarget(
            name: "EventGeneratorTests", dependencies: ["EventGenerator", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "IngestTests",
            dependencies: [
                "Ingest", "ProducerProtocol", "Pipeline", "ClickHouseNative", "CSluice", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "SluiceClientTests",
            dependencies: [
                "SluiceClient", "ProducerProtocol", "Ingest", "Pipeline", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "SinksTests",
            dependencies: [
                "Sinks", "Pipeline", "ClickHouseNative", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "AdminTests",
            dependencies: [
                "Admin", "Pipeline", "TestSupport",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdTesting", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "SluiceTests",
            dependencies: [
                "sluice", "Daemon", "SluiceClient", "EventGenerator", "ClickHouseNative", "Pipeline", "TestSupport",
                "CLZ4", "CZstd", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "Daemon", "Sinks", "Ingest", "Pipeline", "SluiceClient", "ClickHouseNative", "EventGenerator",
                "TestSupport", .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)

// libFuzzer brings a main of its own, so its executable is there only for scripts/fuzz. It counts what runs of our own code, not of
// others': after each execution it looks at every counter that there is.
if Context.environment["SLUICE_FUZZ"] != nil {
    let counted: SwiftSetting = .unsafeFlags(["-sanitize=fuzzer,address"])
    for target in package.targets {
        switch target.name {
        case "CSluice": target.cSettings?.append(.unsafeFlags(["-fsanitize=fuzzer-no-link"]))
        case "ClickHouseNative", "Ingest", "Pipeline", "ProducerProtocol": target.swiftSettings?.append(counted)
        default: break
        }
    }
    package.targets.append(
        .executableTarget(
            name: "Fuzz",
            dependencies: [
                "Ingest", "ProducerProtocol", "Pipeline", "ClickHouseNative",
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Tests/Fuzz", exclude: ["corpus"], swiftSettings: strict + [counted],
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address"])]))
}
