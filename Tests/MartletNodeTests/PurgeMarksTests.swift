import MartletBase
import MartletNode
import MartletVersions
import Testing

@Suite struct PurgeMarksTests {
    private func time(_ bits: UInt64) -> HybridTime { HybridTime(bits: bits) }

    @Test func marksOnlyRise() {
        var marks = PurgeMarks()
        let hasRisen = marks.raise(.floor, to: time(5), in: [SlotSpan(first: 10, last: 20)])
        let hasFallen = marks.raise(.floor, to: time(4), in: [SlotSpan(first: 10, last: 20)])
        let hasRisenInPart = marks.raise(.floor, to: time(4), in: [SlotSpan(first: 15, last: 25)])
        #expect(hasRisen && !hasFallen && hasRisenInPart)
        #expect(marks[9] == .none && marks[26] == .none)
        #expect(marks[10].floor == time(5) && marks[20].floor == time(5) && marks[21].floor == time(4))
        #expect(marks.lowest(.floor, in: [SlotSpan(first: 12, last: 22)]) == time(4))
        #expect(marks.lowest(.floor, in: [.all]) == .zero)
    }

    @Test func theFloorBeforeIsRemembered() {
        var marks = PurgeMarks()
        _ = marks.raise(.floor, to: time(5), in: [.all])
        #expect(marks[0].former == .zero)
        _ = marks.raise(.floor, to: time(9), in: [.all])
        #expect(marks[0].former == time(5))
    }

    @Test func equalNeighboursAreOneRun() {
        var marks = PurgeMarks()
        _ = marks.raise(.closed, to: time(5), in: [SlotSpan(first: 0, last: 99)])
        _ = marks.raise(.closed, to: time(5), in: [SlotSpan(first: 100, last: 16_383)])
        #expect(marks.runs.count == 1 && marks.highestClosed == time(5))
    }

    /// Against the plain form: a list of marks by slot.
    @Test func runsSayWhatAListWould() throws {
        var random = Random(seed: 11)
        var marks = PurgeMarks()
        var list = Array(repeating: PurgeMarks.Levels.none, count: Limits.slots)
        let which: [PurgeMarks.Mark] = [.promised, .closed, .proved, .floor]
        for _ in 0..<200 {
            let (a, b) = (random.below(Limits.slots), random.below(Limits.slots))
            let span = SlotSpan(first: UInt16(min(a, b)), last: UInt16(max(a, b)))
            // Ascending and not, apart, touching and overlapping.
            let (c, d) = (random.below(Limits.slots), random.below(Limits.slots))
            let other = SlotSpan(first: UInt16(min(c, d)), last: UInt16(max(c, d)))
            let told = [[span], [span, other], [other, span, other]][random.below(3)]
            let (mark, stamp) = (which[random.below(4)], time(UInt64(random.below(9))))
            _ = marks.raise(mark, to: stamp, in: told)
            for span in told {
                for slot in Int(span.first)...Int(span.last) where list[slot][mark] < stamp {
                    if mark == .floor { list[slot].former = list[slot].floor }
                    list[slot][mark] = stamp
                }
            }
        }
        #expect((0..<Limits.slots).allSatisfy { marks[UInt16($0)] == list[$0] })
        #expect(zip(marks.runs, marks.runs.dropFirst()).allSatisfy { $0.levels != $1.levels })
        var reader = ByteReader(marks.encoded().span)
        let read = try PurgeMarks(from: &reader)
        #expect(read.runs == marks.runs && read.highestClosed == marks.highestClosed)
    }
}
