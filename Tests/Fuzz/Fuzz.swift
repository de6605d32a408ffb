// libFuzzer's way in: `scripts/fuzz` builds this, with its coverage and the address sanitizer, only when it is asked to.
import Foundation

/// libFuzzer, which is linked in: runs until its arguments say that it is done.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ argumentCount: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ testOneInput: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

/// What `SLUICE_FUZZ_TARGET` names.
nonisolated(unsafe) private var target: FuzzTarget = .types

@main
enum Fuzz {
    static func main() {
        let name = ProcessInfo.processInfo.environment["SLUICE_FUZZ_TARGET"] ?? ""
        guard let known = FuzzTarget(rawValue: name) else {
            let names = FuzzTarget.allCases.map(\.rawValue).joined(separator: ", ")
            FileHandle.standardError.write(Data("SLUICE_FUZZ_TARGET: \"\(name)\" is none of \(names)\n".utf8))
            exit(64)
        }
        target = known
        var count = CommandLine.argc
        var arguments = CommandLine.unsafeArgv
        exit(runDriver(&count, &arguments) { testOneInput($0, $1) })
    }
}

/// libFuzzer's own `main`, which is not used, wants the name.
@_cdecl("LLVMFuzzerTestOneInput")
func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    target.run(UnsafeRawBufferPointer(start: data, count: size))
    return 0
}
