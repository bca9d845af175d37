import Glibc
import MartletBase

/// Carries packets between networks, each after the same time: the cable under the sea. Linux's own delay
/// (netem) isn't in every kernel; a TUN device is, whose packets a program reads and writes.
final class DelayedWire {
    /// Where a network's packets come out and go in: one of these a network, by number.
    typealias End = Int32

    private let ends: [End]
    private let stop = LoadStop()
    private var thread: JobThread?

    /// Of packets on their way; one more is lost, as in a router.
    private static let packetsMax = 65_536
    /// How many are read from one end before the next has its turn.
    private static let readsMax = 64
    private static let packetBytesMax = 65_536

    /// - Parameter network: to which number a packet goes, by its bytes; nil of one that goes nowhere.
    init(_ ends: [End], delay: Interval, network: @escaping @Sendable (ArraySlice<UInt8>) -> Int?) {
        self.ends = ends
        let stop = stop
        thread = JobThread { Self.carry(ends, delay, network, stop) }
    }

    /// A TUN device, as the kernel's include/uapi/linux/if_tun.h has it.
    static func makeEnd(_ device: String) throws(Failure) -> End {
        let end = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)
        guard end >= 0 else { throw .refused("/dev/net/tun can't be opened: \(errorText(errno))") }
        // struct ifreq: the name, 16 bytes, and flags.
        var request = [UInt8](repeating: 0, count: 40)
        request.replaceSubrange(0..<min(15, device.utf8.count), with: device.utf8.prefix(15))
        let (isTun, hasNoHeader): (Int16, Int16) = (0x0001, 0x1000)
        request.withUnsafeMutableBytes {
            $0.storeBytes(of: isTun | hasNoHeader, toByteOffset: 16, as: Int16.self)
        }
        let set: UInt = 0x4004_54CA
        guard request.withUnsafeMutableBytes({ ioctl(end, set, $0.baseAddress!) }) == 0 else {
            defer { close(end) }
            throw .refused("a TUN device can't be made: \(errorText(errno))")
        }
        return end
    }

    /// Ends the thread, and with it the devices.
    func cut() {
        stop.tell()
        thread?.join()
        thread = nil
        for end in ends { close(end) }
    }

    private struct Packet {
        let due: Instant
        let network: Int
        let bytes: [UInt8]
    }

    private static func carry(
        _ ends: [End], _ delay: Interval, _ network: (ArraySlice<UInt8>) -> Int?, _ stop: LoadStop
    ) {
        var waiting: [Packet] = []
        var first = 0
        var buffer = [UInt8](repeating: 0, count: packetBytesMax)
        var polled = ends.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        while !stop.hasCome {
            // Up, so that nothing is early; a stop is seen soon enough.
            let wait = first < waiting.count ? waiting[first].due - monotonicNow() : .milliseconds(20)
            poll(
                &polled, nfds_t(polled.count),
                Int32(min(20, max(0, (wait.nanoseconds + 999_999) / 1_000_000))))
            for end in ends {
                for _ in 0..<readsMax {
                    let count = read(end, &buffer, buffer.count)
                    guard count > 0 else { break }
                    guard let to = network(buffer[..<count]), waiting.count - first < packetsMax else {
                        continue
                    }
                    waiting.append(
                        Packet(due: monotonicNow() + delay, network: to, bytes: Array(buffer[..<count])))
                }
            }
            let now = monotonicNow()
            while first < waiting.count, waiting[first].due <= now {
                // One that the network doesn't take is lost.
                _ = waiting[first].bytes.withUnsafeBytes {
                    write(ends[waiting[first].network], $0.baseAddress, $0.count)
                }
                first += 1
            }
            if first > packetsMax || first == waiting.count {
                waiting.removeFirst(first)
                first = 0
            }
        }
    }
}
