// libFuzzer's way in: `scripts/fuzz` builds this, with its coverage and the address sanitizer, only when it is asked to.
import Foundation

/// What `SLUICE_FUZZ_TARGET` names.
nonisolated(unsafe) private var target: FuzzTarget = .types

@_cdecl("LLVMFuzzerInitialize")
func initialize(
    _: UnsafeMutablePointer<Int32>, _: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>>>
)
    -> Int32
{
    let name = ProcessInfo.processInfo.environment["SLUICE_FUZZ_TARGET"] ?? ""
    guard let known = FuzzTarget(rawValue: name) else {
        let names = FuzzTarget.allCases.map(\.rawValue).joined(separator: ", ")
        FileHandle.standardError.write(Data("SLUICE_FUZZ_TARGET: \"\(name)\" is none of \(names)\n".utf8))
        exit(64)
    }
    target = known
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    target.run(UnsafeRawBufferPointer(start: data, count: size))
    return 0
}
