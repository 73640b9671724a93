// Elementwise losses over whole arrays: blocks, packing, threads.
#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "elementwise_parts.hpp"

namespace ndloss {
namespace {

std::int64_t last_extent(const ArrayView& view) {
  return view.ndim > 0 ? view.shape[static_cast<std::size_t>(view.ndim - 1)] : 1;
}

/// The extents of all but the last dimension, multiplied.
std::int64_t rows_of(const ArrayView& view) {
  std::int64_t rows = 1;
  for (int d = 0; d + 1 < view.ndim; ++d) {
    rows *= view.shape[static_cast<std::size_t>(d)];
  }
  return rows;
}

/// sum / n in double-double.
void divide(Accumulator& total, double n) {
  if (std::isfinite(total.sum) && n != 0) {
    const double head = total.sum / n;
    total.carry = (std::fma(-head, n, total.sum) + total.carry) / n;
    total.sum = head;
  } else {
    total.sum /= n;
    total.carry = 0;
  }
}

/// Adds the sum of the piece last pointed at, which is that of the whole block where the piece closes it, and what the piece
/// adds to the divisor.
template <class T>
void put(Part& part, const BlockResult& result, const Operands<T>& operands, const BlockFactors<T>& factors, std::int64_t count,
         const T* numbers) {
  const double divisor = factors.divisor == nullptr        ? static_cast<double>(count)
                         : factors.divisor == factors.loss ? operands.sum_of(factors.loss, count)
                                                           : active_weight<T>().total(factors.divisor, count);
  part.add(result.sum, divisor);
  part.carry += result.carry;
  part.count += operands.kept(count, numbers);
}

BadValue placed(BadValue bad, std::int64_t begin) {
  if (bad.found()) {
    bad.index += begin;
  }
  return bad;
}

std::int64_t row_divisor(const ElementwiseCall& call) {
  return call.row_divisor >= 0 ? call.row_divisor : last_extent(*call.operands[0]);
}

/// Sums over rows for a loss that averages over its last axis.
Accumulator in_rows(Accumulator total, const ElementwiseCall& call) {
  if (!call.loss.row_mean || call.raw || rows_of(*call.operands[0]) == 0) {
    return total;
  }
  const std::int64_t classes = last_extent(*call.operands[0]);
  if (classes == 0) {
    divide(total, 0);  // rows of nothing: 0 / 0 each
  }
  per_row(total, classes, row_divisor(call));
  return total;
}

template <class T>
Accumulator accumulate_as(const ElementwiseCall& call) {
  const Operands<T> operands(call, nullptr, true);
  const Range range(call.begin, call.end, operands.size());
  const int threads = range.threads(call.threads);
  const ElementwiseKernels<T>& kernels = kernels_of<T>(call.loss);
  const Scratch scratch = scratch_for<T>(threads, operands.scratch());
  Accumulator initial = call.initial;
  initial.bad = {};  // that was for the caller to take or leave
  const auto sum_block = [&](std::int64_t index, int thread, Part& part) {
    ElementwiseBlock<T> block{};
    CarriedLanes lanes;
    BadValue bad;
    T* numbers = scratch.of<T>(thread);
    in_pieces(range.size_of(index), operands.piece(), [&](const Piece& piece) {
      const std::int64_t begin = range.at(index) + piece.first;
      operands.point(block, begin, piece.count, numbers);
      carry(block, lanes, piece);
      const BlockFactors<T> factors = operands.factors(begin, piece.count, numbers);
      block.weight = factors.loss;
      const BlockResult result = kernels.sum(call.loss.loss, block);
      put(part, result, operands, factors, piece.count, numbers);
      bad.merge(placed(result.bad, begin));
    });
    return bad;
  };
  const std::int64_t whole = range.count() / block_size;
  if (kernels.sums == nullptr || whole < 2 || !operands.in_place()) {
    return in_rows(reduce_range(initial, operands, range, threads, call.interrupt, scratch, sum_block), call);
  }
  const Scratch sums(threads, streamed_blocks * sizeof(double));
  const auto sums_from = [&](std::int64_t index, int thread) { return sums.of<double>(thread) + index % streamed_blocks; };
  return in_rows(reduce_blocks(
                     initial, range.blocks(), threads, call.interrupt,
                     [&](std::int64_t index, int thread, Part& part) {
                       if (index == whole || !std::isfinite(*sums_from(index, thread))) {
                         return sum_block(index, thread, part);
                       }
                       part.add(*sums_from(index, thread), static_cast<double>(block_size));
                       part.count += block_size;
                       return BadValue{};
                     },
                     operands.grid(),
                     [&](std::int64_t first, std::int64_t last, int thread) {
                       ElementwiseBlock<T> blocks{};
                       operands.point(blocks, range.at(first), (std::min(last, whole) - first) * block_size, nullptr);
                       kernels.sums(call.loss.loss, blocks, sums_from(first, thread));
                     }),
                 call);
}

/// The unreduced loss of one block, times its factors; 0 where an element is left out.
template <class T>
BadValue map_block(const ElementwiseCall& call, const Operands<T>& operands, const ElementwiseBlock<T>& block,
                   std::int64_t begin, T* numbers) {
  const BadValue bad = kernels_of<T>(call.loss).map(call.loss.loss, block).bad;
  if (const BlockFactors<T> factors = operands.factors(begin, block.size, numbers); factors.loss != nullptr) {
    active_weight<T>().multiply(block.value, factors.loss, block.size);
    if (const T* keep = operands.keep(numbers); keep != nullptr) {
      active_weight<T>().guard(block.value, keep, T(0), block.value, block.size);
    }
  }
  return placed(bad, begin);
}

template <class T>
BadValue map_as(const ElementwiseCall& call, const Output& value) {
  const Operands<T> operands(call, nullptr, true);
  const Range range(call.begin, call.end, operands.size());
  const int threads = range.threads(call.threads);
  const Writer<T> writer(value, range.begin);
  const std::int64_t piece = writer.slots() > 0 ? piece_size : operands.piece();
  const bool streams = writer.streams() && !operands.weighs();
  const Scratch scratch = scratch_for<T>(threads, operands.scratch() + writer.slots() * operands.stride());
  return reduce_range(Accumulator(), operands, range, threads, call.interrupt, scratch,
                      [&](std::int64_t index, int thread, Part& /*part*/) {
                        ElementwiseBlock<T> block{};
                        block.streams = streams;
                        BadValue bad;
                        T* numbers = scratch.of<T>(thread);
                        T* to = numbers + operands.scratch();
                        in_pieces(range.size_of(index), piece, [&](const Piece& one) {
                          const std::int64_t begin = range.at(index) + one.first;
                          operands.point(block, begin, one.count, numbers);
                          block.value = writer.begin(begin, to);
                          bad.merge(map_block(call, operands, block, begin, numbers));
                          writer.end(begin, one.count, to);
                        });
                        return bad;
                      })
      .bad;
}

/// The sum of a row's losses, compensated; four chains, so that their additions overlap.
template <class T>
double row_sum(const T* terms, std::int64_t n) {
  double heads[4] = {};
  double tails[4] = {};
  for (std::int64_t i = 0; i < n; i += 4) {
    for (std::int64_t k = 0; k < std::min<std::int64_t>(4, n - i); ++k) {
      const math::Pair<double> sum = math::two_sum(heads[k], static_cast<double>(terms[i + k]));
      heads[k] = sum.head;
      tails[k] += sum.tail;
    }
  }
  return math::joined((heads[0] + heads[1]) + (heads[2] + heads[3]), (tails[0] + tails[1]) + (tails[2] + tails[3]));
}

/// The unreduced loss of a loss that averages over its last axis: rows in blocks of whole rows, or one long row in pieces.
template <class T>
BadValue map_rows_as(const ElementwiseCall& call, const Output& value) {
  const Operands<T> operands(call, nullptr, false);
  const std::int64_t classes = last_extent(*call.operands[0]);
  const std::int64_t rows = value.size;
  const auto divisor = static_cast<double>(row_divisor(call));
  // Whole rows to a piece, so that a row is added up as if it were alone.
  const std::int64_t rows_each = std::max<std::int64_t>(1, piece_size / std::max<std::int64_t>(classes, 1));
  const std::int64_t blocks = (rows + rows_each - 1) / rows_each;
  const int threads = threads_for(static_cast<std::int64_t>(static_cast<double>(rows * classes) * element_cost), call.threads);
  const Writer<T> writer(value, 0);
  const Scratch scratch = scratch_for<T>(threads, operands.scratch() + 2 * piece_size);
  return reduce_blocks(Accumulator(), blocks, threads, call.interrupt,
                       [&](std::int64_t index, int thread, Part& /*part*/) {
                         T* numbers = scratch.of<T>(thread);
                         T* terms = numbers + operands.scratch();
                         T* losses = terms + piece_size;
                         const std::int64_t first = index * rows_each;
                         const std::int64_t count = std::min(rows_each, rows - first);
                         T* out = writer.begin(first, losses);
                         ElementwiseBlock<T> block{};
                         block.value = terms;
                         BadValue bad;
                         double sum = 0;
                         double lost = 0;
                         std::int64_t row = 0;
                         for (std::int64_t begin = first * classes; begin < (first + count) * classes; begin += block.size) {
                           operands.point(block, begin, std::min(piece_size, (first + count) * classes - begin), numbers);
                           bad.merge(map_block(call, operands, block, begin, numbers));
                           // Whole rows, or a piece of one row that is longer than a block.
                           for (std::int64_t i = 0; i < block.size;) {
                             const std::int64_t n = std::min(block.size - i, (first + row + 1) * classes - (begin + i));
                             const math::Pair<double> both = math::two_sum(sum, row_sum(terms + i, n));
                             sum = both.head;
                             lost += both.tail;
                             i += n;
                             if (begin + i == (first + row + 1) * classes) {
                               out[row++] = static_cast<T>(math::joined(sum, lost) / divisor);
                               sum = lost = 0;
                             }
                           }
                         }
                         for (; row < count; ++row) {
                           out[row] = static_cast<T>(sum / divisor);  // no classes: 0 / 0
                         }
                         writer.end(first, count, losses);
                         return bad;
                       })
      .bad;
}

template <class T>
Accumulator gradients_as(const ElementwiseCall& call, const ElementwiseGradients& wanted) {
  const Operands<T> operands(call, wanted.upstream, true);
  const Range range(call.begin, call.end, operands.size());
  const int threads = range.threads(call.threads);
  const bool has_factors = operands.weighs() || wanted.upstream != nullptr;
  const ElementwiseKernels<T>& kernels = kernels_of<T>(call.loss);
  const WeightTable<T>& weighting = active_weight<T>();
  const auto any = [&](const Output* outputs, int from) {
    return std::any_of(outputs + from, outputs + call.loss.inputs, [](const Output& output) { return output.wanted(); });
  };
  const bool curved = any(wanted.curvatures, 0);
  const bool several = curved || any(wanted.grads, 1);
  const auto kernel = curved ? kernels.curvatures : several ? kernels.gradients : kernels.gradient;
  const int computed = several ? call.loss.inputs : 1;
  const int derivatives = curved ? 2 * computed : computed;
  const Writer<T> value(wanted.value, range.begin);
  // Gradients, then curvatures.
  const auto writer = [&](int k) {
    return Writer<T>(k < computed ? wanted.grads[k] : wanted.curvatures[k - computed], range.begin);
  };
  const T scale = static_cast<T>(wanted.scale);
  // What a kernel stores is not worked on after it. One thread alone waits for sums and streamed lines by turns.
  bool streams = threads > 1 && !has_factors && !wanted.value.wanted();
  for (int k = 0; k < derivatives; ++k) {
    streams = streams && writer(k).streams();
  }
  // Blocks of scratch: the loss, the factors, and each derivative that is converted or, computed beside a wanted one, dropped.
  const bool plain = !has_factors && !wanted.value.wanted() && !several && wanted.grads[0].wanted() && writer(0).slots() == 0;
  const std::int64_t size = plain ? operands.piece() : piece_size;
  const Scratch scratch = scratch_for<T>(threads, operands.scratch() + (plain ? 0 : (2 + derivatives) * operands.stride()));
  return in_rows(reduce_range(call.initial, operands, range, threads, call.interrupt, scratch,
                              [&](std::int64_t index, int thread, Part& part) {
                                ElementwiseBlock<T> block{};
                                block.streams = streams;
                                CarriedLanes lanes;
                                BadValue bad;
                                T* numbers = scratch.of<T>(thread);
                                T* spare = numbers + operands.scratch();
                                in_pieces(range.size_of(index), size, [&](const Piece& piece) {
                                  const std::int64_t begin = range.at(index) + piece.first;
                                  const std::int64_t count = piece.count;
                                  operands.point(block, begin, count, numbers);
                                  carry(block, lanes, piece);
                                  const BlockFactors<T> factors = operands.factors(begin, count, numbers);
                                  if (wanted.value.wanted()) {
                                    block.value = value.begin(begin, spare);
                                    map_block(call, operands, block, begin, numbers);
                                    value.end(begin, count, spare);
                                  }
                                  block.weight = factors.loss;
                                  block.scale = has_factors ? T(1) : scale;
                                  for (int k = 0; k < derivatives; ++k) {
                                    T* to = writer(k).begin(begin, spare + (k + 2) * operands.stride());
                                    (k < computed ? block.grad[k] : block.curvature[k - computed]) = to;
                                  }
                                  const BlockResult result = kernel(call.loss.loss, block);
                                  put(part, result, operands, factors, count, numbers);
                                  T* products = spare + operands.stride();
                                  if (has_factors) {
                                    const T* upstream = operands.upstream(begin, count, numbers);
                                    const T* one = factors.loss != nullptr ? factors.loss : upstream;
                                    weighting.product(one, one == upstream ? nullptr : upstream, scale, products, count);
                                  }
                                  const T* keep = operands.keep(numbers);
                                  for (int k = 0; k < derivatives; ++k) {
                                    T* made = k < computed ? block.grad[k] : block.curvature[k - computed];
                                    if (has_factors) {
                                      weighting.multiply(made, products, count);
                                    }
                                    if (keep != nullptr) {
                                      weighting.guard(made, keep, T(0), made, count);
                                    }
                                    writer(k).end(begin, count, made);
                                  }
                                  bad.merge(placed(result.bad, begin));
                                });
                                return bad;
                              }),
                 call);
}

/// Σ of what the elements add to the divisor of a mean, from weights, masks and ignored targets alone.
template <class T>
double divisor_as(const ElementwiseCall& call) {
  const Operands<T> operands(call, nullptr, false);
  const Range range(0, -1, operands.size());
  if (!operands.weighs()) {
    return static_cast<double>(range.count());
  }
  const int threads = range.threads(call.threads);
  const Scratch scratch = scratch_for<T>(threads, operands.scratch());
  return reduce_blocks(Accumulator(), range.blocks(), threads, call.interrupt,
                       [&](std::int64_t index, int thread, Part& part) {
                         ElementwiseBlock<T> block{};
                         T* numbers = scratch.of<T>(thread);
                         in_pieces(range.size_of(index), operands.piece(), [&](const Piece& piece) {
                           const std::int64_t begin = range.at(index) + piece.first;
                           if (operands.selects()) {
                             operands.point(block, begin, piece.count, numbers);
                           }
                           const BlockFactors<T> factors = operands.factors(begin, piece.count, numbers);
                           part.add(factors.divisor == nullptr ? static_cast<double>(piece.count)
                                                               : active_weight<T>().total(factors.divisor, piece.count));
                         });
                         return BadValue{};
                       })
      .total();
}

template <class T>
BadValue weight_gradient_as(const ElementwiseCall& call, const ArrayView* upstream, double scale, double offset,
                            const Output& out) {
  ElementwiseCall unweighted = call;
  unweighted.weight = nullptr;
  const Operands<T> operands(unweighted, upstream, true);
  const Range range(call.begin, call.end, operands.size());
  const int threads = range.threads(call.threads);
  const WeightTable<T>& weighting = active_weight<T>();
  const Writer<T> writer(out, range.begin);
  const Scratch scratch = scratch_for<T>(threads, operands.scratch() + operands.stride());
  return reduce_range(Accumulator(), operands, range, threads, call.interrupt, scratch,
                      [&](std::int64_t index, int thread, Part& /*part*/) {
                        ElementwiseBlock<T> block{};
                        BadValue bad;
                        T* numbers = scratch.of<T>(thread);
                        T* to = numbers + operands.scratch();
                        in_pieces(range.size_of(index), piece_size, [&](const Piece& piece) {
                          const std::int64_t begin = range.at(index) + piece.first;
                          operands.point(block, begin, piece.count, numbers);
                          block.value = writer.begin(begin, to);
                          bad.merge(placed(kernels_of<T>(call.loss).map(call.loss.loss, block).bad, begin));
                          weighting.subtract(block.value, static_cast<T>(offset), piece.count);
                          const BlockFactors<T> factors = operands.factors(begin, piece.count, numbers);
                          for (const T* factor : {factors.loss, operands.upstream(begin, piece.count, numbers)}) {
                            if (factor != nullptr) {
                              weighting.multiply(block.value, factor, piece.count);
                            }
                          }
                          weighting.product(block.value, nullptr, static_cast<T>(scale), block.value, piece.count);
                          writer.end(begin, piece.count, to);
                        });
                        return bad;
                      })
      .bad;
}

/// 1 / divisor, NaN for a divisor of 0.
double reciprocal(double divisor) { return divisor != 0 ? 1.0 / divisor : math::nan<double>; }

bool same_shape(const ArrayView& a, const ArrayView& b) {
  return a.ndim == b.ndim && std::equal(a.shape.begin(), a.shape.begin() + a.ndim, b.shape.begin());
}

void require(bool condition, const char* name, const std::string& what) {
  if (!condition) {
    throw std::invalid_argument(std::string(name) + ": " + what);
  }
}

}  // namespace

void Interrupt::check() const {
  if (asked != nullptr && asked(context)) {
    throw Interrupted();
  }
}

Accumulator accumulate(const ElementwiseCall& call) {
  return call.compute == DType::float64 ? accumulate_as<double>(call) : accumulate_as<float>(call);
}

BadValue map(const ElementwiseCall& call, const Output& value) {
  const ArrayView& first = *call.operands[0];
  const std::int64_t classes = call.loss.row_mean ? last_extent(first) : 1;
  require(value.size * classes == first.size(), call.loss.name,
          "out has " + std::to_string(value.size) + " elements, which is not one per loss");
  if (call.loss.row_mean) {
    return call.compute == DType::float64 ? map_rows_as<double>(call, value) : map_rows_as<float>(call, value);
  }
  return call.compute == DType::float64 ? map_as<double>(call, value) : map_as<float>(call, value);
}

Accumulator gradients(const ElementwiseCall& call, const ElementwiseGradients& wanted) {
  if (call.loss.row_mean && wanted.value.wanted()) {
    ElementwiseGradients rest = wanted;
    rest.value = Output();
    const BadValue bad = map(call, wanted.value);
    Accumulator total = gradients(call, rest);
    total.bad = bad;
    return total;
  }
  return call.compute == DType::float64 ? gradients_as<double>(call, wanted) : gradients_as<float>(call, wanted);
}

BadValue weight_gradient(const ElementwiseCall& call, const ArrayView* upstream, double scale, double offset,
                         const Output& out) {
  return call.compute == DType::float64 ? weight_gradient_as<double>(call, upstream, scale, offset, out)
                                        : weight_gradient_as<float>(call, upstream, scale, offset, out);
}

void per_row(Accumulator& total, std::int64_t classes, std::int64_t divisor) {
  divide(total, static_cast<double>(divisor));
  total.count = classes == 0 ? 0 : total.count / classes;
  total.weight = classes == 0 ? 0 : total.weight / static_cast<double>(classes);
  total.weight_carry = classes == 0 ? 0 : total.weight_carry / static_cast<double>(classes);
}

double gradient_scale(const ElementwiseCall& call, Reduction reduction) {
  const double within_row = call.loss.row_mean ? static_cast<double>(row_divisor(call)) : 1.0;
  if (reduction != Reduction::mean) {
    return 1.0 / within_row;
  }
  const double elements = call.compute == DType::float64 ? divisor_as<double>(call) : divisor_as<float>(call);
  const std::int64_t classes = call.loss.row_mean ? last_extent(*call.operands[0]) : 1;
  return reciprocal(classes == 0 ? 0.0 : elements / static_cast<double>(classes)) / within_row;
}

ElementwiseCallStorage::ElementwiseCallStorage(const ErasedLoss& loss, std::initializer_list<ArrayView> operands,
                                               const Options& options) {
  require(operands.size() == static_cast<std::size_t>(loss.operands), loss.name,
          "expected " + std::to_string(loss.operands) + " operands, got " + std::to_string(operands.size()));
  require(options.threads >= 0, loss.name, "threads must be at least 0, got " + std::to_string(options.threads));
  call.loss = loss;
  call.weight = options.weight;
  call.threads = options.threads;
  call.interrupt = options.interrupt;
  const ArrayView& first = *operands.begin();
  int k = 0;
  for (const ArrayView& operand : operands) {
    require(same_shape(operand, first), loss.name, "operands must have one shape; operand " + std::to_string(k) + " differs");
    if (operand.dtype == DType::float64) {
      call.compute = DType::float64;
    }
    call.operands[k++] = &operand;
  }
  require(call.weight == nullptr || same_shape(*call.weight, first), loss.name, "weight must have the shape of the operands");
  if (options.sample_weight != nullptr) {
    sample_weight_ = *options.sample_weight;
    if (loss.row_mean && first.ndim > 0 && sample_weight_.ndim == first.ndim - 1) {
      const auto last = static_cast<std::size_t>(sample_weight_.ndim++);
      sample_weight_.shape[last] = first.shape[last];
      sample_weight_.strides[last] = 0;
    } else {
      require(!loss.row_mean, loss.name, "sample_weight must have one number for each row");
    }
    require(same_shape(sample_weight_, first), loss.name, "sample_weight must have one number for each unreduced loss");
    call.sample_weight = &sample_weight_;
  }
}

ElementwiseGradients checked_gradients(const ElementwiseCall& call, std::initializer_list<Output> grads, Reduction reduction) {
  require(
      grads.size() <= static_cast<std::size_t>(call.loss.inputs), call.loss.name,
      "has " + std::to_string(call.loss.inputs) + " differentiable operands, got " + std::to_string(grads.size()) + " outputs");
  ElementwiseGradients wanted;
  int k = 0;
  for (const Output& grad : grads) {
    require(!grad.wanted() || grad.size == call.operands[0]->size(), call.loss.name,
            "grad has " + std::to_string(grad.size) + " elements, expected " + std::to_string(call.operands[0]->size()));
    wanted.grads[k++] = grad;
  }
  wanted.scale = gradient_scale(call, reduction);
  return wanted;
}

void throw_if_bad(const BadValue& bad, const char* name) {
  if (bad.found()) {
    throw std::invalid_argument(std::string(name) + ": operand " + std::to_string(bad.operand) + " is " +
                                std::to_string(std::bit_cast<double>(bad.value)) + " at element " + std::to_string(bad.index) +
                                ", outside its domain");
  }
}

}  // namespace ndloss
