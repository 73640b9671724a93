// Memory of large results: blocks, the handler by which NumPy asks for them, and arrays made with it.
#include "result_memory.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace ndloss::binding {
namespace {

/// What stands before a block's bytes. They begin a page, 16 bytes before where NumPy's own large arrays begin in theirs: where
/// results are written ahead of operands, modulo a page, processors take loads for loads of what has just been stored.
struct alignas(4096) Head {
  std::size_t capacity;
};

constexpr std::size_t huge_page = std::size_t{2} << 20U;

Head* head_of(void* data) { return static_cast<Head*>(data) - 1; }

/// Tells the system something about the huge pages that lie within these bytes. A hint: a system without it goes on as it is.
void advise(void* first, const void* end, int advice) noexcept {
  const auto from = (reinterpret_cast<std::uintptr_t>(first) + huge_page - 1) / huge_page * huge_page;
  const auto to = reinterpret_cast<std::uintptr_t>(end) / huge_page * huge_page;
  if (from < to) {
    static_cast<void>(madvise(static_cast<char*>(first) + (from - reinterpret_cast<std::uintptr_t>(first)), to - from, advice));
  }
}

/// A block from the system, null if it has none.
void* allocated(std::size_t bytes) noexcept {
  if (bytes > std::size_t{PTRDIFF_MAX} - 2 * huge_page) {
    return nullptr;
  }
  // Whole huge pages of addresses; memory is what is written.
  void* const block = std::aligned_alloc(huge_page, (bytes + sizeof(Head) + huge_page - 1) / huge_page * huge_page);
  if (block == nullptr) {
    return nullptr;
  }
  void* const data = new (block) Head{bytes} + 1;
#ifdef MADV_HUGEPAGE
  advise(block, static_cast<char*>(data) + bytes, MADV_HUGEPAGE);
#endif
  return data;
}

void give_back(void* data) noexcept { std::free(head_of(data)); }

// What NumPy calls. Its sizes are not needed: blocks know theirs.

void* handler_malloc(void* /*context*/, std::size_t bytes) { return result_memory().take(bytes); }

void* handler_calloc(void* /*context*/, std::size_t count, std::size_t bytes) {
  void* const data = bytes != 0 && count > PTRDIFF_MAX / bytes ? nullptr : result_memory().take(count * bytes);
  return data == nullptr ? nullptr : std::memset(data, 0, count * bytes);
}

void handler_free(void* /*context*/, void* data, std::size_t /*bytes*/) { result_memory().leave(data); }

void* handler_realloc(void* /*context*/, void* data, std::size_t bytes) {
  void* const moved = result_memory().take(bytes);
  if (moved != nullptr && data != nullptr) {
    std::memcpy(moved, data, std::min(bytes, ResultMemory::capacity(data)));
    result_memory().leave(data);
  }
  return moved;
}

/// PyDataMem_Handler of NumPy's C interface, version 1 (NEP 49).
struct Handler {
  char name[127];
  std::uint8_t version;
  void* context;
  void* (*malloc)(void*, std::size_t);
  void* (*calloc)(void*, std::size_t, std::size_t);
  void* (*realloc)(void*, void*, std::size_t);
  void (*free)(void*, void*, std::size_t);
};

Handler handler{"ndloss", 1, nullptr, handler_malloc, handler_calloc, handler_realloc, handler_free};

/// The handler as NumPy takes it, and PyDataMem_SetHandler, which answers with the one before.
PyObject* handler_capsule = nullptr;
PyObject* (*set_handler)(PyObject*) = nullptr;

}  // namespace

void* ResultMemory::take(std::size_t bytes) noexcept {
  {
    const std::scoped_lock lock(mutex_);
    // The last that fits and wastes no more than a quarter.
    const auto found = std::find_if(blocks_.rbegin(), blocks_.rend(),
                                    [&](void* data) { return capacity(data) >= bytes && capacity(data) - bytes <= bytes / 4; });
    if (found != blocks_.rend()) {
      void* const data = *found;
      blocks_.erase(std::next(found).base());
      kept_ -= capacity(data);
      return data;
    }
  }
  void* const data = allocated(bytes);
  if (data != nullptr) {
    return data;
  }
  empty();
  return allocated(bytes);
}

void ResultMemory::leave(void* data) noexcept {
  if (data == nullptr) {
    return;
  }
  const std::scoped_lock lock(mutex_);
  const std::size_t bytes = capacity(data);
  if (bytes > limit_) {
    return give_back(data);
  }
  shrink_to(limit_ - bytes);
  try {
    blocks_.push_back(data);
  } catch (const std::bad_alloc&) {
    return give_back(data);
  }
  kept_ += bytes;
#ifdef MADV_FREE
  advise(data, static_cast<char*>(data) + bytes, MADV_FREE);
#endif
}

std::size_t ResultMemory::capacity(void* data) noexcept { return head_of(data)->capacity; }

std::size_t ResultMemory::limit() {
  const std::scoped_lock lock(mutex_);
  return limit_;
}

std::size_t ResultMemory::kept() {
  const std::scoped_lock lock(mutex_);
  return kept_;
}

void ResultMemory::set_limit(std::size_t bytes) {
  const std::scoped_lock lock(mutex_);
  limit_ = bytes;
  shrink_to(bytes);
}

void ResultMemory::empty() noexcept {
  const std::scoped_lock lock(mutex_);
  shrink_to(0);
}

void ResultMemory::shrink_to(std::size_t bytes) noexcept {
  auto oldest = blocks_.begin();
  for (; kept_ > bytes; ++oldest) {
    kept_ -= capacity(*oldest);
    give_back(*oldest);
  }
  blocks_.erase(blocks_.begin(), oldest);
}

ResultMemory& result_memory() {
  // A fork waits until no thread is at it, so that the child finds it whole.
  static auto* const memory = [] {
    pthread_atfork([] { result_memory().mutex_.lock(); }, [] { result_memory().mutex_.unlock(); },
                   [] { result_memory().mutex_.unlock(); });
    return new ResultMemory;
  }();
  return *memory;
}

PyObject* new_result(PyObject* descr, std::int64_t item_size, int ndim, const Py_ssize_t* shape) {
  const auto& api = py::detail::npy_api::get();
  const auto make = [&] {
    return api.PyArray_NewFromDescr_(api.PyArray_Type_, descr, ndim, shape, nullptr, nullptr, 0, nullptr);
  };
  double bytes = static_cast<double>(item_size);  // no overflow; NumPy refuses what is too large
  for (int d = 0; d < ndim; ++d) {
    bytes *= static_cast<double>(shape[d]);
  }
  if (bytes < static_cast<double>(ResultMemory::smallest)) {
    return make();
  }
  PyObject* const before = set_handler(handler_capsule);
  if (before == nullptr) {
    Py_DECREF(descr);
    return nullptr;
  }
  PyObject* const array = make();
  const py::error_scope kept;  // what NumPy has said of the array
  PyObject* const own = set_handler(before);
  Py_XDECREF(own);
  Py_DECREF(before);
  return array;
}

void bind_result_memory(py::module_& m) {
  constexpr std::size_t set_handler_place = 304;  // of NumPy's table of functions, since 1.22
  const py::capsule table = py::detail::import_numpy_core_submodule("multiarray").attr("_ARRAY_API");
  set_handler = reinterpret_cast<decltype(set_handler)>(table.get_pointer<void*>()[set_handler_place]);
  handler_capsule = py::capsule(&handler, "mem_handler").release().ptr();
  m.def("empty", [](const py::tuple& shape, const py::dtype& dtype) {
    std::vector<Py_ssize_t> lengths;
    for (const py::handle length : shape) {
      lengths.push_back(length.cast<Py_ssize_t>());
    }
    PyObject* const array =
        new_result(Py_NewRef(dtype.ptr()), dtype.itemsize(), static_cast<int>(lengths.size()), lengths.data());
    if (array == nullptr) {
      throw py::error_already_set();
    }
    return py::reinterpret_steal<py::object>(array);
  });
  m.def("get_cache_limit", [] { return result_memory().limit(); });
  m.def("set_cache_limit", [](std::size_t bytes) { result_memory().set_limit(bytes); });
  m.def("get_cache_memory", [] { return result_memory().kept(); });
  m.def("empty_cache", [] { result_memory().empty(); });
}

}  // namespace ndloss::binding
