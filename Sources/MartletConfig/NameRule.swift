import MartletBase

/// Which characters a name may have.
package struct NameRule: Sendable {
    package let allowed: String
    private let capitals: Bool
    private let digitFirst: Bool
    /// Beside letters and digits.
    private let marks: String
    private let markFirst: Bool

    /// A cluster: `[a-z0-9-]`.
    static let cluster = NameRule("a-z 0-9 -", capitals: false, digitFirst: true, marks: "-", markFirst: true)
    /// A node, which is a folder, a field of logs and an item of comma-separated lists too.
    static let node = NameRule(
        "A-Z a-z 0-9 . _ -, the first a letter or a digit", capitals: true, digitFirst: true, marks: "._-",
        markFirst: false)
    /// A zone or a data centre.
    package static let place = node
    /// A keyspace. A letter comes first, because SELECT takes digits for an index.
    package static let keyspace = NameRule(
        "a-z 0-9 _ -, the first a letter", capitals: false, digitFirst: false, marks: "_-", markFirst: false)

    private init(_ characters: String, capitals: Bool, digitFirst: Bool, marks: String, markFirst: Bool) {
        allowed = "1 to \(Limits.nameBytesMax) of \(characters)"
        self.capitals = capitals
        self.digitFirst = digitFirst
        self.marks = marks
        self.markFirst = markFirst
    }

    package func accepts(_ text: String) -> Bool {
        guard (1...Limits.nameBytesMax).contains(text.utf8.count) else { return false }
        var isFirst = true
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"): break
            case UInt8(ascii: "A")...UInt8(ascii: "Z") where capitals: break
            case UInt8(ascii: "0")...UInt8(ascii: "9") where digitFirst || !isFirst: break
            case _ where marks.utf8.contains(byte) && (markFirst || !isFirst): break
            default: return false
            }
            isFirst = false
        }
        return true
    }
}

/// The word of `words` that differs least from `text`, when few enough letters differ for it to be a slip.
package func nearest(_ text: String, in words: [String]) -> String? {
    let wanted = Array(text.lowercased().utf8.prefix(64))
    var best: (distance: Int, word: String)?
    for word in words {
        let distance = editDistance(wanted, Array(word.lowercased().utf8))
        if distance < best?.distance ?? Int.max { best = (distance, word) }
    }
    guard let best, best.distance <= max(1, min(wanted.count, best.word.utf8.count) / 3) else { return nil }
    return best.word
}

func nearestHint(_ text: String, in words: [String]) -> String? {
    nearest(text, in: words).map { "did you mean \($0)?" }
}

/// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var older: [Int] = []
    var previous = Array(0...b.count)
    for i in a.indices {
        var row = [i + 1]
        for j in b.indices {
            var least = min(row[j] + 1, previous[j + 1] + 1, previous[j] + (a[i] == b[j] ? 0 : 1))
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = min(least, older[j - 1] + 1) }
            row.append(least)
        }
        (older, previous) = (previous, row)
    }
    return previous[b.count]
}
