// Streaming limits: how fast this machine reads the operands of a loss, and reads them while it writes a result.
//
// The data are treated as 32-byte vectors of integers; every byte is used in a sum, so no load can be dropped, and integer
// additions cost less than any loss. Several ways of walking are offered because no one way is the fastest on every machine:
// the caller takes the best.

#include <omp.h>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace {

using Vector [[gnu::vector_size(32), gnu::aligned(4), gnu::may_alias]] = std::uint32_t;
constexpr std::size_t kWidth = sizeof(Vector);
constexpr std::size_t kUnroll = 8;
constexpr std::size_t kStep = kUnroll * kWidth;

struct Span {
  const char* data;
  std::size_t bytes;
};

// The part of a span that belongs to one thread, in whole steps but for the last thread.
Span share(Span whole, std::size_t thread, std::size_t threads) {
  const std::size_t each = whole.bytes / kStep / threads * kStep;
  const std::size_t first = thread * each;
  return {whole.data + first, thread + 1 == threads ? whole.bytes - first : each};
}

std::uint32_t total(Vector v) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < kWidth / sizeof(std::uint32_t); ++i)
    sum += v[i];
  return sum;
}

// One stream, with an optional prefetch some bytes ahead (0: none).
template <std::size_t Ahead>
std::uint32_t read_one(Span s) {
  Vector sums[kUnroll] = {};
  const std::size_t steps = s.bytes / kStep;
  for (std::size_t i = 0; i < steps; ++i) {
    const char* p = s.data + i * kStep;
    if constexpr (Ahead > 0) {
      for (std::size_t line = 0; line < kStep; line += 64)
        __builtin_prefetch(p + Ahead + line);
    }
    for (std::size_t k = 0; k < kUnroll; ++k)
      sums[k] += reinterpret_cast<const Vector*>(p)[k];
  }
  std::uint32_t sum = 0;
  for (const Vector& v : sums)
    sum += total(v);
  for (std::size_t i = steps * kStep; i < s.bytes; ++i)
    sum += static_cast<unsigned char>(s.data[i]);
  return sum;
}

// Two streams of equal length, in alternating pieces of `Piece` bytes, as a loss walks input and target.
template <std::size_t Piece, std::size_t Ahead>
std::uint32_t read_two(Span a, Span b) {
  std::uint32_t sum = 0;
  Vector sums[2][kUnroll] = {};
  std::size_t at = 0;
  for (; at + Piece <= a.bytes; at += Piece) {
    for (std::size_t inner = 0; inner < Piece; inner += kStep) {
      const char* p = a.data + at + inner;
      if constexpr (Ahead > 0) {
        for (std::size_t line = 0; line < kStep; line += 64)
          __builtin_prefetch(p + Ahead + line);
      }
      for (std::size_t k = 0; k < kUnroll; ++k)
        sums[0][k] += reinterpret_cast<const Vector*>(p)[k];
    }
    for (std::size_t inner = 0; inner < Piece; inner += kStep) {
      const char* p = b.data + at + inner;
      if constexpr (Ahead > 0) {
        for (std::size_t line = 0; line < kStep; line += 64)
          __builtin_prefetch(p + Ahead + line);
      }
      for (std::size_t k = 0; k < kUnroll; ++k)
        sums[1][k] += reinterpret_cast<const Vector*>(p)[k];
    }
  }
  for (const auto& stream : sums) {
    for (const Vector& v : stream)
      sum += total(v);
  }
  return sum + read_one<0>({a.data + at, a.bytes - at}) + read_one<0>({b.data + at, b.bytes - at});
}

template <std::size_t Piece, std::size_t Ahead>
std::uint32_t read_any(Span a, Span b) {
  if (a.bytes == b.bytes)
    return read_two<Piece, Ahead>(a, b);
  return read_one<Ahead>(a) + read_one<Ahead>(b);
}

void store(char* to, Vector value, bool streaming) {
#if defined(__AVX__)
  if (streaming) {
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<const __m256i&>(value));
    return;
  }
#endif
  (void)streaming;
  std::memcpy(to, &value, sizeof value);
}

// out[i] = a[i] + b[i] where b is as long as a, else a[i], and b is read beside it. `out` is as long as a, 32-byte aligned.
template <bool Streaming>
std::uint32_t read_and_write(Span a, Span b, char* out) {
  const bool both = a.bytes == b.bytes;
  const std::size_t vectors = a.bytes / kWidth;
  for (std::size_t i = 0; i < vectors; ++i) {
    Vector v = *reinterpret_cast<const Vector*>(a.data + i * kWidth);
    if (both)
      v += *reinterpret_cast<const Vector*>(b.data + i * kWidth);
    store(out + i * kWidth, v, Streaming);
  }
#if defined(__AVX__)
  if constexpr (Streaming)
    _mm_sfence();
#endif
  std::memcpy(out + vectors * kWidth, a.data + vectors * kWidth, a.bytes - vectors * kWidth);
  return both ? 0 : read_one<0>(b);
}

using Read = std::uint32_t (*)(Span, Span);
using Write = std::uint32_t (*)(Span, Span, char*);

struct NamedRead {
  const char* name;
  Read run;
};

struct NamedWrite {
  const char* name;
  Write run;
};

constexpr NamedRead kReads[] = {
    {"lines", read_any<kStep, 0>},
    {"lines, prefetch 1 KiB", read_any<kStep, 1024>},
    {"lines, prefetch 4 KiB", read_any<kStep, 4096>},
    {"pages", read_any<4096, 0>},
    {"pages, prefetch 1 KiB", read_any<4096, 1024>},
    {"pages, prefetch 4 KiB", read_any<4096, 4096>},
};

constexpr NamedWrite kWrites[] = {
    {"plain stores", read_and_write<false>},
#if defined(__AVX__)
    {"streaming stores", read_and_write<true>},
#endif
};

}  // namespace

extern "C" {

int stream_read_count() { return static_cast<int>(sizeof kReads / sizeof *kReads); }
const char* stream_read_name(int kernel) { return kReads[kernel].name; }
int stream_write_count() { return static_cast<int>(sizeof kWrites / sizeof *kWrites); }
const char* stream_write_name(int kernel) { return kWrites[kernel].name; }

std::uint32_t stream_read(int kernel, const char* a, std::size_t a_bytes, const char* b, std::size_t b_bytes, int threads) {
  std::uint32_t sum = 0;
#pragma omp parallel num_threads(threads) reduction(+ : sum)
  {
    const auto thread = static_cast<std::size_t>(omp_get_thread_num());
    const auto count = static_cast<std::size_t>(omp_get_num_threads());
    sum += kReads[kernel].run(share({a, a_bytes}, thread, count), share({b, b_bytes}, thread, count));
  }
  return sum;
}

std::uint32_t stream_write(int kernel, const char* a, std::size_t a_bytes, const char* b, std::size_t b_bytes, char* out,
                           int threads) {
  std::uint32_t sum = 0;
#pragma omp parallel num_threads(threads) reduction(+ : sum)
  {
    const auto thread = static_cast<std::size_t>(omp_get_thread_num());
    const auto count = static_cast<std::size_t>(omp_get_num_threads());
    const Span mine = share({a, a_bytes}, thread, count);
    sum += kWrites[kernel].run(mine, share({b, b_bytes}, thread, count), out + (mine.data - a));
  }
  return sum;
}

}  // extern "C"
