import CUV
import MartletBase

/// What owns one libuv handle: the common part of listeners, connections, sockets, timers, wake-ups and
/// signals.
///
/// Lifetime: libuv closes a handle asynchronously, and writes to its memory until then. So from the handle's
/// initialisation to its close callback libuv holds a reference to the owner (`data`), whatever others do;
/// nobody needs to keep an owner alive, and dropping the last reference of one's own closes nothing. Whoever
/// opened a handle calls `close()`. Callbacks to the owner's owner are dropped when it has closed, which
/// breaks their cycles.
///
/// An owner refers to its loop strongly, so a loop outlives its handles.
///
/// Fields on the way of every request are stored privately, behind a property where other modules need them,
/// and only looked at or set, never lent to a call: so the compiler sees that no two accesses to one of them
/// overlap, and none needs a check for that at run time, which costs some ninety instructions.
package class LoopHandle {
    package let loop: EventLoop
    /// The uv_…_t, valid as long as this object.
    let raw: UnsafeMutableRawPointer
    private var isOpen = false
    private final var hasBegunToClose = false
    /// True from `close()` on.
    package final var isClosing: Bool { hasBegunToClose }

    /// Allocates the libuv handle; the subclass then initialises it and calls `didOpen`.
    init<Handle>(_ loop: EventLoop, _ type: Handle.Type) {
        self.loop = loop
        raw = UnsafeMutableRawPointer.allocate(
            byteCount: MemoryLayout<Handle>.size, alignment: MemoryLayout<Handle>.alignment)
    }

    deinit {
        invariant(!isOpen, "a handle was freed while libuv knew it")
        raw.deallocate()
    }

    final var handle: UnsafeMutablePointer<uv_handle_t> { raw.assumingMemoryBound(to: uv_handle_t.self) }
    final var stream: UnsafeMutablePointer<uv_stream_t> { raw.assumingMemoryBound(to: uv_stream_t.self) }

    /// To be called once, right after libuv has initialised the handle.
    final func didOpen() {
        isOpen = true
        loop.openHandles += 1
        handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    }

    /// Closes the handle: no callback comes after this but the one that says it has closed. May be called
    /// again.
    package final func close() {
        if isClosing { return }
        hasBegunToClose = true
        willClose()
        uv_close(handle) { LoopHandle.closed($0) }
    }

    /// For subclasses: the handle is about to be closed.
    func willClose() {}

    /// For subclasses: the handle has closed. Drop closures here.
    func didClose() {}

    private static func closed(_ handle: UnsafeMutablePointer<uv_handle_t>?) {
        guard let data = handle?.pointee.data else { return }
        let owner = Unmanaged<LoopHandle>.fromOpaque(data).takeRetainedValue()
        owner.isOpen = false
        owner.loop.openHandles -= 1
        owner.didClose()
    }
}

/// The owner that a libuv callback is for.
///
/// Safe: `data` was set from an owner of this very type, which libuv holds a reference to until it has
/// closed.
@inline(__always)
func owner<Owner: LoopHandle>(_ data: UnsafeMutableRawPointer?, _ type: Owner.Type = Owner.self) -> Owner {
    guard let data else { invariantBroken("a libuv callback without an owner") }
    return Unmanaged<Owner>.fromOpaque(data).takeUnretainedValue()
}
