import FuzzProperties
import Glibc

/// libFuzzer around the properties: `FUZZ_TARGET=name FuzzDriver [corpus]... [-option=value]...`
///
/// The target comes by a variable, because libFuzzer takes all arguments for its own, and starts further
/// processes with them. Its options: `-help=1`.
@main struct FuzzDriver {
    static func main() {
        guard let target = chosen else {
            let names = FuzzTarget.all.map(\.name).joined(separator: " ")
            print("usage: FUZZ_TARGET=<target> FuzzDriver [corpus]... [-option=value]...; targets: \(names)")
            exit(2)
        }
        var arguments = CommandLine.arguments
        if !arguments.contains(where: { $0.hasPrefix("-max_len=") }) {
            arguments.append("-max_len=\(target.inputBytesMax)")
        }
        var count = Int32(arguments.count)
        // libFuzzer keeps the pointers until the process ends.
        let copies = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(
            capacity: arguments.count + 1)
        for (index, argument) in arguments.enumerated() { copies[index] = strdup(argument) }
        copies[arguments.count] = nil
        var vector: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = copies
        exit(runDriver(&count, &vector, runOneInput))
    }
}

let chosen = getenv("FUZZ_TARGET").flatMap { FuzzTarget.named(String(cString: $0)) }

@_silgen_name("LLVMFuzzerRunDriver")
func runDriver(
    _ count: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

/// What libFuzzer calls. It is found by this name too, so it must have it.
@c(LLVMFuzzerTestOneInput) public func runOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    guard let target = chosen else { return 0 }
    do throws(PropertyFailure) {
        try target.check(Array(UnsafeBufferPointer(start: bytes, count: count)))
    } catch {
        fatalError("\(target.name): \(error)")
    }
    return 0
}
