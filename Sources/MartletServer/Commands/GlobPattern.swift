/// Redis's glob patterns: `*`, `?`, `[a-c]`, `[^a]` and `\` before a character that means itself.
///
/// Takes time in the product of both lengths at worst: after a mismatch only the last `*` takes one character
/// more.
package struct GlobPattern {
    /// The part of a pattern of keys from its first `*` on: comparing costs its length times the key's.
    package static let starredBytesMax = 512

    private let pattern: [UInt8]
    private let ignoresCase: Bool

    package init(_ pattern: [UInt8], ignoringCase: Bool = false) {
        self.pattern = ignoringCase ? pattern.map(Self.lowered) : pattern
        ignoresCase = ignoringCase
    }

    /// Whether so much is behind the first `*` that a long key could hold up everybody while it is compared.
    package var isCostly: Bool {
        guard let star = pattern.firstIndex(of: UInt8(ascii: "*")) else { return false }
        return pattern.count - star > Self.starredBytesMax
    }

    private static func lowered(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }

    package func matches(_ text: some Sequence<UInt8>) -> Bool {
        let text = ignoresCase ? text.map(Self.lowered) : Array(text)
        var (p, t) = (0, 0)
        // In Redis not even `**` matches nothing at all; a lone `*` isn't asked.
        if text.isEmpty { return pattern.isEmpty }
        /// Where to go on after a mismatch: behind the last `*`, which then takes one more.
        var retry: (pattern: Int, text: Int)?
        while t < text.count {
            if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
                p += 1
                retry = (p, t)
            } else if let next = step(p, text[t]) {
                p = next
                t += 1
            } else if let last = retry {
                retry = (last.pattern, last.text + 1)
                (p, t) = (last.pattern, last.text + 1)
            } else {
                return false
            }
        }
        while p < pattern.count, pattern[p] == UInt8(ascii: "*") { p += 1 }
        return p == pattern.count
    }

    /// The place behind the element at `p` if that matches the byte.
    private func step(_ p: Int, _ byte: UInt8) -> Int? {
        guard p < pattern.count else { return nil }
        switch pattern[p] {
        case UInt8(ascii: "?"): return p + 1
        case UInt8(ascii: "["): return stepClass(p + 1, byte)
        case UInt8(ascii: "\\") where p + 1 < pattern.count: return pattern[p + 1] == byte ? p + 2 : nil
        default: return pattern[p] == byte ? p + 1 : nil
        }
    }

    /// A class that isn't closed ends with the pattern, as in Redis.
    private func stepClass(_ start: Int, _ byte: UInt8) -> Int? {
        var p = start
        let isNegated = p < pattern.count && pattern[p] == UInt8(ascii: "^")
        if isNegated { p += 1 }
        var isMatch = false
        while p < pattern.count, pattern[p] != UInt8(ascii: "]") {
            if pattern[p] == UInt8(ascii: "\\"), p + 1 < pattern.count {
                isMatch = isMatch || pattern[p + 1] == byte
                p += 2
            } else if p + 2 < pattern.count, pattern[p + 1] == UInt8(ascii: "-") {
                let (low, high) = (min(pattern[p], pattern[p + 2]), max(pattern[p], pattern[p + 2]))
                isMatch = isMatch || (low...high).contains(byte)
                p += 3
            } else {
                isMatch = isMatch || pattern[p] == byte
                p += 1
            }
        }
        return isMatch != isNegated ? min(p + 1, pattern.count) : nil
    }
}
