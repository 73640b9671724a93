// Losses and distances of rows of vectors.
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "arrays.hpp"
#include "ndloss/vectors.hpp"

namespace ndloss::binding {
namespace {

/// An array of any strides that results go to.
WritableView writable(const py::object& object, Views& views) {
  const ArrayView* layout = views.add(object);
  if (layout == nullptr) {
    return {};
  }
  py::array array = py::reinterpret_borrow<py::array>(object);
  return {array.mutable_data(), *layout};
}

/// A call of one loss on some arrays, with everything it refers to.
class BoundVectors {
 public:
  BoundVectors(const std::string& kind, const std::string& family, double margin, double p, double eps, bool swap,
               const py::tuple& operands, const py::object& label, bool twice, int threads) {
    call_.kind = kind == "triplet"            ? VectorKind::triplet
                 : kind == "cosine_embedding" ? VectorKind::cosine_embedding
                                              : VectorKind::distance;
    call_.family = family == "cosine" ? DistanceFamily::cosine : DistanceFamily::p_norm;
    call_.margin = margin;
    call_.p = p;
    call_.eps = eps;
    call_.swap = swap;
    if (operands.size() != (call_.kind == VectorKind::triplet ? 3U : 2U)) {
      throw py::value_error("VectorCall: wrong number of operands");
    }
    for (std::size_t k = 0; k < operands.size(); ++k) {
      call_.operands[k] = views_.add(operands[k]);
    }
    call_.label = views_.add(label);
    call_.compute = twice ? DType::float64 : DType::float32;
    call_.threads = threads;
    call_.interrupt = signals();
  }
  BoundVectors(const BoundVectors&) = delete;
  BoundVectors& operator=(const BoundVectors&) = delete;

  /// The sum over rows [begin, end), added to `initial`.
  Accumulator accumulate(const Accumulator& initial, std::int64_t begin, std::int64_t end) const {
    VectorCall call = call_;
    call.initial = initial;
    call.begin = begin;
    call.end = end;
    return without_gil([&] { return ndloss::accumulate(call); });
  }

  void map(const py::object& out) const {
    const Output output = output_of(out);
    without_gil([&] { ndloss::map(call_, output); });
  }

  Accumulator gradients(const std::string& reduction, double factor, const py::object& upstream, const py::tuple& grads,
                        const py::object& value) const {
    Views views;
    VectorGradients wanted;
    wanted.upstream = views.add(upstream);
    for (std::size_t k = 0; k < grads.size(); ++k) {
      wanted.grads[k] = writable(grads[k], views);
    }
    wanted.value = output_of(value);
    const Reduction kind = reduction == "mean" ? Reduction::mean : Reduction::sum;
    return without_gil([&] {
      wanted.scale = factor * gradient_scale(call_, kind);
      return ndloss::gradients(call_, wanted);
    });
  }

 private:
  Views views_;
  VectorCall call_;
};

}  // namespace

void bind_vectors(py::module_& m) {
  py::class_<BoundVectors>(m, "VectorCall")
      .def(py::init<const std::string&, const std::string&, double, double, double, bool, const py::tuple&, const py::object&,
                    bool, int>(),
           py::arg("kind"), py::arg("family"), py::arg("margin"), py::arg("p"), py::arg("eps"), py::arg("swap"),
           py::arg("operands"), py::arg("label"), py::arg("twice"), py::arg("threads"))
      .def("accumulate", &BoundVectors::accumulate, py::arg("initial"), py::arg("begin") = 0, py::arg("end") = -1)
      .def("map", &BoundVectors::map, py::arg("out"))
      .def("gradients", &BoundVectors::gradients, py::arg("reduction"), py::arg("factor"), py::arg("upstream"),
           py::arg("grads"), py::arg("value"));
  m.def("vector_block", &vector_block, py::arg("features"));
  m.def(
      "weighted_sum",
      [](const py::tuple& weights, const py::tuple& parts, const py::object& out) {
        Views views;
        std::vector<ArrayView> w;
        std::vector<ArrayView> p;
        for (std::size_t k = 0; k < parts.size(); ++k) {
          w.push_back(*views.add(weights[k]));
          p.push_back(*views.add(parts[k]));
        }
        const Output output = output_of(out);
        without_gil([&] { weighted_sum(w, p, output); });
      },
      py::arg("weights"), py::arg("parts"), py::arg("out"));
}

}  // namespace ndloss::binding
