from __future__ import annotations

import pytest

from guard.signals.rubric_grading import PLUGIN
from tests.signals.content import read

SIGNAL = PLUGIN()


@pytest.mark.parametrize(
    "text",
    [
        "You are an impartial judge. Compare the two responses on a scale of 1 to 10 for helpfulness and justify your rating.",
        "Bewerte die beiden Antworten auf einer Skala von 1 bis 10 nach den Bewertungskriterien und begründe deine Wahl.",
        "Évalue les deux réponses sur une échelle de 1 à 10 selon les critères d'évaluation, et justifie ta note.",
        "Evalúa las dos respuestas en una escala de 1 a 10 según la rúbrica y justifica tu puntuación.",
        "Avalie as duas respostas em uma escala de 1 a 10 pelos critérios de avaliação e justifique a nota.",
        "Valuta le due risposte su una scala da 1 a 10 secondo i criteri di valutazione e giustifica il voto.",
        "Beoordeel de twee antwoorden op een schaal van 1 tot 10 volgens de beoordelingscriteria en motiveer je score.",
        "Oceń obie odpowiedzi w skali od 1 do 10 według kryteriów oceny i uzasadnij wybór.",
        "Оцени следующие ответы по шкале от 1 до 10 по критериям оценки и обоснуй выбор.",
        "İki yanıtı puanla, yanıtları değerlendir: değerlendirme kriterleri aşağıda, gerekçe yaz.",
        "Đánh giá hai câu trả lời theo thang điểm từ 1 đến 10, tiêu chí đánh giá dưới đây, giải thích lý do.",
        "Nilai kedua jawaban dengan skala 1 sampai 10 menurut kriteria penilaian dan jelaskan alasan.",
        "ให้คะแนนคำตอบตามเกณฑ์การประเมิน พร้อมอธิบายเหตุผล",
        "उत्तरों का मूल्यांकन 1 से 10 तक के पैमाने पर मूल्यांकन मानदंड से करें और कारण बताएं",
        "قارن بين الإجابتين وفق معايير التقييم على مقياس من 1 إلى 10 مع ذكر السبب",
        "请对以下两个模型的回答进行打分,从1到10分,按照评分标准,并说明打分理由。",
        "二つの回答を評価基準に沿って1から10点で採点し、回答を比較して理由も述べてください。",
        "두 답변을 평가 기준에 따라 1점부터 10점까지 채점하고 답변을 비교하여 이유를 설명하세요.",
    ],
)
def test_graded_answers_read_strong_in_each_language(text: str) -> None:
    """Answers, a scale, criteria and reasons together are how preference data is asked for."""
    assert read(SIGNAL, text) > 0.4


@pytest.mark.parametrize(
    "text",
    [
        "Grade this pupil's essay with the rubric below from 1 to 6 and justify the mark.",
        "Benote den Aufsatz meiner Schülerin nach dem Bewertungsraster, Note von 1 bis 6, und begründe die Note.",
        "Note cette rédaction d'élève sur 20 avec le barème et justifie.",
        "Califica la redacción de mi alumna según la rúbrica y justifica la nota.",
        "Avalie a redação do meu aluno com a rubrica, nota de 0 a 10.",
        "Оцени сочинение ученика по критериям оценивания и обоснуй.",
        "请按照评分标准给这篇学生作文打分,并说明理由",
        "生徒の作文を評価基準で採点し、理由も述べてください",
        "학생의 글을 평가 기준에 따라 채점하고 이유를 설명해 주세요",
        "What was the survey's response rate?",
        "On a scale from one to ten, how spicy is this curry?",
        "Which phone is better, the first or the second one?",
        "Response A: hello",
        "今天的问题有标准答案吗",
    ],
)
def test_teachers_and_polls_stay_weak(text: str) -> None:
    """A rubric for pupils, a scale, a label: each is honest by itself."""
    assert read(SIGNAL, text) < 0.3


def test_two_marks_say_more_than_each() -> None:
    """Grading answers with a scale reads more than both by themselves added up."""
    judge = read(SIGNAL, "Compare the responses.")
    scale = read(SIGNAL, "Give a score from 1 to 5.")

    assert read(SIGNAL, "Compare the responses. Give a score from 1 to 5.") > 1 - (1 - judge) * (1 - scale)
