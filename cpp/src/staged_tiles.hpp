/// Tiles of a block that are copied together, because their classes are so many streams: the logits before they are looked at,
/// the output after the last. And long rows that stand in columns, turned together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "ndloss/prefetch.hpp"
#include "row_walk.hpp"

namespace ndloss {

template <class T>
struct StagedTiles {
  std::int64_t tiles = 0;
  T* input = nullptr;
  std::ptrdiff_t row_stride = 1;
  std::ptrdiff_t class_stride = 0;
  T* output = nullptr;          // null, or where the logits stand, which are read first
  char* stream = nullptr;       // where the output goes
  const char* ahead = nullptr;  // where the logits of the block behind stand, if they are to be copied too, ...
  T* next = nullptr;            // ... where they go, ...
  std::int64_t next_tiles = 0;  // ... and how many tiles they are
  LinesAhead lines;             // of one tile: what memory is to be asked for meanwhile

  [[nodiscard]] TileNumbers<T> numbers(T* place) const { return {place, row_stride, class_stride, false}; }

  /// What there is for the tile `rows` behind the first. A share of the block behind is copied before.
  [[nodiscard]] StagedTiles take(const RowWalk& walk, std::int64_t rows) const {
    StagedTiles tile;
    if (rows / tile_rows < tiles) {
      tile.input = input + rows;
      tile.class_stride = class_stride;
      tile.output = output == nullptr ? nullptr : output + rows;
      if (ahead != nullptr) {
        tile.lines = copy_ahead(walk, rows / tile_rows);
      }
    }
    return tile;
  }

  /// Puts the output where it belongs, past the caches or not.
  void put_out(const RowWalk& walk, bool past) const {
    const std::int64_t stride = walk.class_stride(output_array);
    constexpr auto size = static_cast<std::int64_t>(sizeof(T));
    if (past && stride % size == 0) {
      active_pack<T>().stream(output, class_stride, reinterpret_cast<T*>(stream), stride / size, walk.classes(),
                              tiles * tile_rows);
      return;
    }
    for (std::int64_t c = 0; c < walk.classes(); ++c) {
      std::memcpy(stream + c * stride, output + c * class_stride, bytes(tiles));
    }
  }

  static constexpr std::size_t bytes(std::int64_t tiles) { return static_cast<std::size_t>(tiles * tile_bytes<T>); }

 private:
  /// Copies as many pieces, a tile's rows of one class each, as there are classes; memory was asked for them a tile ago. The
  /// classes of a whole block would push each other out of the caches before they are read. Returns the share to be asked for.
  [[nodiscard]] LinesAhead copy_ahead(const RowWalk& walk, std::int64_t tile) const {
    const std::int64_t classes = walk.classes();
    const std::int64_t stride = walk.class_stride(input_array);
    const std::int64_t end = std::min(tile + 1, next_tiles) * classes;
    for (std::int64_t piece = tile * classes; piece < end;) {
      const std::int64_t c = piece / next_tiles;
      const std::int64_t first = piece % next_tiles;
      const std::int64_t count = std::min(next_tiles - first, end - piece);
      std::memcpy(next + c * class_stride + first * tile_rows, ahead + c * stride + first * tile_bytes<T>, bytes(count));
      piece += count;
    }
    // Behind the last share stands the first of the block after the next.
    const bool last = tile + 1 >= next_tiles;
    const std::int64_t piece = last ? 0 : (tile + 1) * classes;
    const char* from = last ? ahead + next_tiles * tile_bytes<T> : ahead;
    const std::int64_t first = piece % next_tiles;
    constexpr std::int64_t each = tile_bytes<T> / line_bytes;
    return {.at = from + piece / next_tiles * stride + first * tile_bytes<T> + line_bytes - 1,
            .left = (next_tiles - first) * each,
            .each = next_tiles * each,
            .stride = stride};
  }
};

/// Stages the blocks of one thread. Their logits have two places in turn: one for the block at work, one for the block behind.
template <class T>
struct Stage {
  std::int64_t end = 0;     // where the rows of a task end
  std::int64_t ready = -1;  // the block whose logits stand in their place once the block before is through
  bool odd = false;

  /// One cache line more than rows, so that a class does not stand in the sets of the one before.
  [[nodiscard]] static std::int64_t pitch(std::int64_t rows_per_block) {
    return rows_per_block + line_bytes / static_cast<std::int64_t>(sizeof(T));
  }

  [[nodiscard]] static std::int64_t numbers_per_class(std::int64_t rows_per_block) { return 2 * pitch(rows_per_block); }

  /// Copies the logits of the whole tiles of rows [begin, last) to `numbers`, where they are so many streams and not there yet;
  /// the output alone, without other arrays of its shape, goes the same way back.
  StagedTiles<T> block(const RowWalk& walk, std::int64_t begin, std::int64_t last, std::int64_t rows_per_block, T* numbers) {
    StagedTiles<T> staged;
    const std::int64_t tiles = (last - begin) / tile_rows;
    const char* logits = tiles > 0 ? stream_of_tiles<T>(walk, input_array, begin, tiles) : nullptr;
    if (logits == nullptr) {
      return staged;
    }
    const auto place = [&] { return numbers + (odd ? pitch(rows_per_block) * walk.classes() : 0); };
    staged.tiles = tiles;
    staged.input = place();
    staged.class_stride = pitch(rows_per_block);
    if (ready != begin) {
      gather(walk, logits, staged);
    }
    bool alone = walk.present(output_array) && !walk.present(target_array);
    for (int k = output_array + 1; k < class_arrays; ++k) {
      alone = alone && !walk.present(k);
    }
    staged.stream = alone ? stream_of_tiles<T>(walk, output_array, begin, tiles) : nullptr;
    staged.output = staged.stream != nullptr ? staged.input : nullptr;
    staged.next_tiles = std::min(rows_per_block, end - last) / tile_rows;
    staged.ahead = staged.next_tiles > 0 ? stream_of_tiles<T>(walk, input_array, last, staged.next_tiles) : nullptr;
    if (staged.ahead != nullptr) {
      odd = !odd;
      staged.next = place();
      ready = last;
    }
    return staged;
  }

 private:
  /// The first block of a task. Memory is asked for the class after the next.
  static void gather(const RowWalk& walk, const char* logits, const StagedTiles<T>& to) {
    const std::int64_t stride = walk.class_stride(input_array);
    for (std::int64_t c = 0; c < walk.classes(); ++c) {
      for (std::int64_t byte = 0; byte < to.tiles * tile_bytes<T> && c + 2 < walk.classes(); byte += line_bytes) {
        prefetch(logits + (c + 2) * stride + byte);
      }
      std::memcpy(to.input + c * to.class_stride, logits + c * stride, to.bytes(to.tiles));
    }
  }
};

/// Whether long rows stand in columns, so that each cache line holds a number of so many rows. They are turned some blocks
/// together: tile by tile, a line is gone before the next rows are asked of it.
template <class T>
bool stands_in_columns(const RowWalk& walk) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t stride = walk.class_stride(input_array);
  const Strided& logits = walk.array(input_array);
  return !walk.across() && walk.classes() <= row_segment && stride > size && stride % size == 0 &&
         native_at<T>(logits, logits.data);
}

/// Rows one after the other from row `begin` on, or none.
template <class T>
struct TurnedRows {
  T* first = nullptr;
  std::int64_t begin = 0;

  [[nodiscard]] StagedTiles<T> at(std::int64_t row, std::int64_t classes) const {
    StagedTiles<T> tile;
    tile.input = first + (row - begin) * classes;
    tile.row_stride = classes;
    tile.class_stride = 1;
    return tile;
  }
};

/// The logits of the rows [begin, end) in `numbers`; none where the rows do not stand side by side.
template <class T>
TurnedRows<T> turn_rows(const RowWalk& walk, std::int64_t begin, std::int64_t end, T* numbers) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  if (!walk.adjacent(input_array, begin, end - begin, size)) {
    return {};
  }
  const char* first = walk.array(input_array).data + walk.offsets(begin, 1).at(input_array, 0);
  active_pack<T>().turn(reinterpret_cast<const T*>(first), walk.class_stride(input_array) / size, end - begin, walk.classes(),
                        rows_ahead<T>, numbers);
  return {numbers, begin};
}

}  // namespace ndloss
