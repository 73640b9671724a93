/// Hinges of short rows with several targets each: lanes across the rows, `abreast` targets at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels_margin_hinges.hpp"
#include "kernels_transpose.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

/// A class as a number of the compute type, which every vector unit compares; exact for short rows.
template <class T>
NDLOSS_INLINE T class_number(std::int64_t c) {
  return static_cast<T>(static_cast<std::int32_t>(c));
}

/// Lists the labels of a tile, row by row, plus one, those behind a row's last target too; whether all are classes or -1. They
/// are read this once: another thread may change them.
template <class T>
NDLOSS_INLINE bool read_sets(const std::int64_t* label, std::ptrdiff_t classes, T* listed) {
  const auto most = static_cast<std::uint64_t>(classes);
  std::uint64_t outside = 0;
#pragma omp simd reduction(| : outside)
  for (std::ptrdiff_t i = 0; i < tile_rows * classes; ++i) {
    const std::uint64_t above = static_cast<std::uint64_t>(label[i]) + 1;
    outside |= above | (most - above);
    listed[i] = class_number<T>(static_cast<std::int64_t>(above));
  }
  return outside >> 63 == 0;
}

/// The labels of rows at `abreast` places, from place k on: 0 behind a row's last target, after which `going` is 0.
template <class T>
NDLOSS_INLINE void turn_sets(const T* listed, std::ptrdiff_t classes, std::ptrdiff_t k, T (*own)[lanes], T* going) {
  const std::ptrdiff_t places = classes - k < abreast ? classes - k : abreast;
  transpose(listed + k, classes, places, own[0], lanes);
  for (std::ptrdiff_t j = 0; j < abreast; ++j) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      const T given = j < places ? own[j][l] : T(0);
      going[l] = given > T(0) ? going[l] : T(0);
      own[j][l] = given * going[l];
    }
  }
}

/// Whether any row has a label at place k.
template <class T>
NDLOSS_INLINE bool any_listed(const T* listed, std::ptrdiff_t classes, std::ptrdiff_t k) {
  math::Int<T> any = 0;
#pragma GCC unroll 8
  for (int r = 0; r < tile_rows; ++r) {
    any |= math::bits(listed[r * classes + k]);
  }
  return any != 0;
}

/// The scores of rows at their labels in `abreast` places, as far as they have been found.
template <class T>
struct Found {
  T at[abreast];
};

/// Looks for `Number` classes from c on among the labels of rows in `abreast` places. Those that are there leave `others`.
template <int Number, class T, std::size_t... J>
NDLOSS_INLINE Found<T> find_classes(const T* numbers, const T* before, T* others, std::ptrdiff_t c, int l, const Found<T>& own,
                                    Found<T> found, std::index_sequence<J...> places) {
  if constexpr (Number > 1) {
    found = find_classes<Number / 2>(numbers, before, others, c, l, own, found, places);
    return find_classes<Number / 2>(numbers, before, others, c + Number / 2, l, own, found, places);
  } else {
    const T number = class_number<T>(c + 1);
    const T score = numbers[c * lanes + l];
    T other = before[c * lanes + l];
    ((found.at[J] = math::select(own.at[J] == number, score, found.at[J])), ...);
    ((other = math::select(own.at[J] == number, -math::infinity<T>, other)), ...);
    others[c * lanes + l] = other;
    return found;
  }
}

template <int Number, class T, std::size_t... J>
NDLOSS_INLINE void find_targets(const T* numbers, const T* before, T* others, std::ptrdiff_t c, int l, const T (*own)[lanes],
                                T (*score)[lanes], std::index_sequence<J...> places) {
  const Found<T> found =
      find_classes<Number>(numbers, before, others, c, l, Found<T>{{own[J][l]...}}, Found<T>{{score[J][l]...}}, places);
  ((score[J][l] = found.at[J]), ...);
}

/// `Number` classes of rows against `abreast` of their targets.
template <MarginJob J, int Number, class T>
NDLOSS_INLINE void observe_sets(const T* others, T* output, const EdgeLanes<T>* edges, std::ptrdiff_t c, int l,
                                WideLanes<T>& values, SlopeLanes<1, T>* slopes) {
  const auto sum = pairwise<Number>([&](int n) __attribute__((always_inline)) {
    const std::ptrdiff_t i = (c + n) * lanes + l;
    const auto of_class = pairwise<abreast>([&](int j) __attribute__((always_inline)) {
      T unused = 0;
      const auto tally =
          observe<MarginKind::several, J>(MarginEdge<T>{edges[j].head[l], edges[j].tail[l]}, T(1), others[i], unused);
      if constexpr (J == MarginJob::gradient) {
        slopes[j].add(l, tally.slope);
      }
      return tally;
    });
    if constexpr (J == MarginJob::gradient) {
      output[i] += of_class.slope.head;
    }
    return of_class;
  });
  values.add(l, widen(sum.value));
}

/// Rows with several targets each, the labels of which are listed: all classes against the first `abreast` labels of each row,
/// then the next ones, ... No branch asks how many a row has: it would be guessed wrong for most rows. A label that stands
/// there twice is a target twice.
template <MarginJob J, class T>
NDLOSS_INLINE void observe_targets(const MarginRoom<T>& room, std::ptrdiff_t classes, T margin, LinesAhead ahead,
                                   WideLanes<T>& values) {
  T own[short_row][lanes];
  T score[short_row][lanes];
  T going[lanes];
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    going[l] = 1;
  }
  std::ptrdiff_t most = 0;
  const T* others = room.numbers;
  do {
    turn_sets(room.listed, classes, most, own + most, going);
    for (std::ptrdiff_t j = most; j < most + abreast; ++j) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        score[j][l] = math::infinity<T>;  // of a target that a row does not have: no class comes near it
      }
    }
    constexpr std::make_index_sequence<abreast> places{};
    std::ptrdiff_t c = 0;
    for (; c + run <= classes; c += run) {
      ahead.ask_classes<T>(run);
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        find_targets<run>(room.numbers, others, room.others, c, l, own + most, score + most, places);
      }
    }
    ahead.ask_classes<T>(classes - c);
    ahead = {};
    for (; c < classes; ++c) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        find_targets<1>(room.numbers, others, room.others, c, l, own + most, score + most, places);
      }
    }
    others = room.others;
    most += abreast;
  } while (most < classes && any_listed(room.listed, classes, most));
  if constexpr (J == MarginJob::gradient) {
    for (std::ptrdiff_t c = 0; c < classes; ++c) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        room.output[c * lanes + l] = 0;
      }
    }
  }
  values.clear();
  for (std::ptrdiff_t k = 0; k < most; k += abreast) {
    EdgeLanes<T> edges[abreast];
    SlopeLanes<1, T> slopes[abreast];
    for (int j = 0; j < abreast; ++j) {
      if constexpr (J == MarginJob::gradient) {
        slopes[j].clear();
      }
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        edges[j].set(l, margin, score[k + j][l]);
      }
    }
    std::ptrdiff_t c = 0;
    for (; c + run / abreast <= classes; c += run / abreast) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        observe_sets<J, run / abreast>(room.others, room.output, edges, c, l, values, slopes);
      }
    }
    for (; c < classes; ++c) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        observe_sets<J, 1>(room.others, room.output, edges, c, l, values, slopes);
      }
    }
    if constexpr (J == MarginJob::gradient) {
      for (c = 0; c < classes; ++c) {
        const T number = class_number<T>(c + 1);
#pragma omp simd
        for (int l = 0; l < lanes; ++l) {
          room.output[c * lanes + l] -= pairwise<abreast>([&](int j) __attribute__((always_inline)) {
            return math::select(own[k + j][l] == number, slopes[j].head[l], T(0));
          });
        }
      }
    }
  }
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA
