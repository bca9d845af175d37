/// Traps with its message when `condition` is false: a bug in Martlet, never an operating error.
///
/// Stays on in release. `precondition` loses its text at `-O`, so this is built on `fatalError`, which keeps
/// it: whoever reads the log of a stopped node learns which promise was broken.
@inlinable
@inline(__always)
package func invariant(
    _ condition: @autoclosure () -> Bool,
    _ message: @autoclosure () -> String,
    file: StaticString = #fileID,
    line: UInt = #line
) {
    if _slowPath(!condition()) {
        invariantBroken(message(), file: file, line: line)
    }
}

/// Reports a broken invariant and stops the process (exit status 134).
@usableFromInline
@inline(never)
package func invariantBroken(_ message: String, file: StaticString = #fileID, line: UInt = #line) -> Never {
    fatalError("invariant broken: \(message)", file: file, line: line)
}
