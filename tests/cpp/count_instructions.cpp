// count_instructions [KERNEL]: runs one representative kernel over fixed data at AVX2 on one thread, for count_instructions.py
// to count what runs inside `counted`; without an argument it lists the kernels with their elements. 77: the machine has no
// AVX2.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "ndloss/ndloss.hpp"

namespace {

constexpr std::size_t size = std::size_t{1} << 18;
constexpr std::size_t few_classes = 10;
constexpr std::size_t many_classes = 1000;
constexpr std::size_t features = 128;

const ndloss::Options one_thread = {.threads = 1};

/// Numbers of [low, high), the same everywhere: a linear congruential generator (D. E. Knuth, MMIX).
class Numbers {
 public:
  double next(double low, double high) {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return low + (high - low) * static_cast<double>(state_ >> 40) * 0x1p-24;
  }

  std::vector<float> between(double low, double high) {
    std::vector<float> numbers(size);
    std::generate(numbers.begin(), numbers.end(), [&] { return static_cast<float>(next(low, high)); });
    return numbers;
  }

  std::vector<float> zeros_and_ones() {
    std::vector<float> numbers(size);
    std::generate(numbers.begin(), numbers.end(), [&] { return next(0, 1) < 0.5 ? 0.0F : 1.0F; });
    return numbers;
  }

  std::vector<std::int64_t> labels(std::size_t rows, std::size_t classes) {
    std::vector<std::int64_t> numbers(rows);
    std::generate(numbers.begin(), numbers.end(),
                  [&] { return static_cast<std::int64_t>(next(0, static_cast<double>(classes))); });
    return numbers;
  }

 private:
  std::uint64_t state_ = 1;
};

struct Kernel {
  std::string_view name;
  std::size_t elements;
  std::function<double()> run;
};

ndloss::RowsView<const float> rows_of(const std::vector<float>& numbers, std::size_t classes) {
  return {numbers.data(), static_cast<std::int64_t>(numbers.size() / classes), static_cast<std::int64_t>(classes)};
}

ndloss::ArrayView vectors_of(const std::vector<float>& numbers) {
  return {numbers.data(), {static_cast<std::int64_t>(numbers.size() / features), static_cast<std::int64_t>(features)}};
}

}  // namespace

/// What is counted. By its C name, so that it can be named to callgrind.
extern "C" [[gnu::noinline]] double counted(const std::function<double()>& run) { return run(); }

int main(int argc, char** argv) {
  const std::vector<std::string> levels = ndloss::available_isas();
  if (std::find(levels.begin(), levels.end(), "avx2") == levels.end()) {
    std::puts("avx2 cannot run on this machine");
    return 77;
  }
  ndloss::set_isa("avx2");

  Numbers numbers;
  const std::vector<float> x = numbers.between(-4, 4);
  const std::vector<float> y = numbers.between(-4, 4);
  const std::vector<float> z = numbers.between(-4, 4);
  const std::vector<float> p = numbers.between(0.01, 0.99);
  const std::vector<float> hard = numbers.zeros_and_ones();
  const std::vector<float> many(x.begin(), x.begin() + size / many_classes * many_classes);
  const std::vector<float> few(x.begin(), x.begin() + size / few_classes * few_classes);
  const std::vector<std::int64_t> few_labels = numbers.labels(few.size() / few_classes, few_classes);
  const std::vector<std::int64_t> many_labels = numbers.labels(many.size() / many_classes, many_classes);
  std::vector<float> grad(many.size());

  const Kernel kernels[] = {
      {"mse_loss mean", size, [&] { return ndloss::evaluate(ndloss::MSELoss{}, {x, y}, one_thread); }},
      {"binary_cross_entropy_with_logits mean", size,
       [&] { return ndloss::evaluate(ndloss::BCEWithLogitsLoss{}, {x, p}, one_thread); }},
      {"binary_cross_entropy mean, hard targets", size,
       [&] { return ndloss::evaluate(ndloss::BCELoss{}, {p, hard}, one_thread); }},
      {"cross_entropy mean, 10 classes", few.size(),
       [&] { return ndloss::evaluate(ndloss::CrossEntropyLoss{}, rows_of(few, few_classes), few_labels, one_thread); }},
      {"cross_entropy value and gradient, 1000 classes", many.size(),
       [&] {
         return ndloss::value_and_gradient(ndloss::CrossEntropyLoss{}, rows_of(many, many_classes), many_labels,
                                           std::span{grad}, one_thread);
       }},
      {"triplet_margin_loss mean, 128 features", size,
       [&] {
         return ndloss::evaluate(ndloss::TripletMarginLoss{}, {vectors_of(x), vectors_of(y), vectors_of(z)}, one_thread);
       }},
  };
  for (const Kernel& kernel : kernels) {
    if (argc < 2) {
      std::printf("%zu %s\n", kernel.elements, kernel.name.data());
    } else if (kernel.name == argv[1]) {
      std::printf("%.9g\n", kernel.run());  // what the first call sets up is not counted
      return counted(kernel.run) >= 0 ? 0 : 1;
    }
  }
  return argc < 2 ? 0 : 2;
}
